"""Statistics, the conditions of a device, and the verdict."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.latency.conditions import (
    Conditions,
    OthersLoad,
    decode_throttled,
    device_facts,
    hottest,
    peak_memory_bytes,
    read_conditions,
)
from edgenet_device.latency.report import Evidence, reasons_against
from edgenet_device.latency.samples import group_medians_ms, percentile, sample, summarize, sustained
from edgenet_device.runtime import Delegate


def test_percentiles_are_nearest_rank() -> None:
    """The example from the definition of the rule: 15, 20, 35, 40, 50."""
    samples = np.array([50, 15, 40, 20, 35])
    assert [percentile(samples, p) for p in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    hundred = np.arange(1, 101)
    assert [percentile(hundred, p) for p in range(1, 101)] == list(range(1, 101))
    assert percentile(np.array([7]), 99) == 7


def test_summary() -> None:
    summary = summarize(np.array([1_000_000, 2_000_000, 6_000_000]))
    assert summary == {
        "n": 3, "min_ms": 1, "p50_ms": 2, "p90_ms": 6, "p99_ms": 6, "max_ms": 6, "mean_ms": 3,
        "std_ms": pytest.approx(7**0.5),
    }  # fmt: skip
    assert summarize(np.array([1]))["std_ms"] is None
    assert group_medians_ms(np.repeat([1, 2, 3, 4, 5], 10) * 1_000_000) == (1, 2, 3, 4, 5)


def test_sustained_compares_the_first_and_the_last_half_minute() -> None:
    """70 blocks of a second, twice as slow from second 35 on: the time between the two windows does not count."""
    blocks = [np.full(10, 100_000_000 if second < 35 else 200_000_000) for second in range(70)]
    found = sustained(blocks, [float(second + 1) for second in range(70)])
    assert found == {"first_p50_ms": 100, "last_p50_ms": 200, "ratio": 2}
    slow_at_last = [np.full(10, 100)] * 69 + [np.full(1000, 300)]
    assert sustained(slow_at_last, [float(second + 1) for second in range(70)])["ratio"] == pytest.approx(3)


def test_sampling_counts_runs_time_and_warmup() -> None:
    calls: list[float] = []

    def invoke() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.001)

    samples = sample(invoke, runs=5, min_seconds=0, warmup=3)
    assert len(samples) == 5
    assert len(calls) == 8
    assert samples.min() >= 1_000_000
    assert (
        len(sample(lambda: None, runs=2000, min_seconds=0, warmup=0)) == 2000
    )  # more than set aside at first
    started = time.perf_counter()
    longer = sample(invoke, runs=1, min_seconds=0.1, warmup=0)
    assert time.perf_counter() - started >= 0.1
    assert len(longer) > 10


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files and the tool of a Raspberry Pi 4, as they really look."""
    contents = {
        "proc/device-tree/model": b"Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/device-tree/compatible": b"raspberrypi,4-model-b\0brcm,bcm2711\0",
        "proc/meminfo": b"MemTotal:        3884456 kB\nMemFree: 1 kB\n",
        "etc/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
        "sys/class/thermal/thermal_zone0/temp": b"48312\n",
        "sys/class/thermal/thermal_zone0/type": b"cpu-thermal\n",
        "sys/class/thermal/thermal_zone1/temp": b"unreadable\n",
        "bin/vcgencmd": b"#!/bin/sh\necho throttled=0x20002\n",
    }
    from edgenet_device.entry import usable_cpus

    for cpu in usable_cpus():
        folder = f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        contents[f"{folder}/scaling_governor"] = b"ondemand\n"
        contents[f"{folder}/scaling_cur_freq"] = b"1800000\n"
    for name, data in contents.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "bin/vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return tmp_path


def test_a_pi_is_read(pi: Path) -> None:
    facts = device_facts(pi)
    assert facts["model"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts["soc"] == "brcm,bcm2711"
    assert facts["memory_bytes"] == 3884456 * 1024
    assert facts["os"] == "Debian GNU/Linux 12 (bookworm)"
    seen = read_conditions(pi)
    assert seen.governors == ["ondemand"]
    assert set(seen.frequencies_mhz.values()) == {1800.0}
    assert seen.temperatures_celsius == {"thermal_zone0 (cpu-thermal)": 48.312}
    assert seen.throttling["now"] == ["frequency capped"]
    assert hottest(seen.temperatures_celsius) == 48.312


def test_a_fact_that_a_device_does_not_state_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = device_facts(tmp_path)
    assert [facts[name] for name in ("model", "soc", "cpu", "memory_bytes")] == [None] * 4
    seen = read_conditions(tmp_path)
    assert (seen.governors, seen.frequencies_mhz, seen.temperatures_celsius, seen.throttling) == (None,) * 4
    assert peak_memory_bytes(tmp_path) is None


def test_without_a_free_descriptor_nothing_is_known_and_nothing_fails(pi: Path) -> None:
    """As now and then in a program whose page is flooded."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        seen = read_conditions(pi)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (seen.governors, seen.frequencies_mhz, seen.temperatures_celsius, seen.throttling) == (None,) * 4


QUIET = Conditions(None, None, None, None, 0.1)
GOOD = Evidence(60, (1.0,) * 5, QUIET, QUIET, Delegate("XNNPACK", 33, 33, 1), 4, 0.02)


def test_a_good_measurement_is_valid() -> None:
    assert reasons_against(GOOD) == []
    assert reasons_against(replace(GOOD, others_share=None, before=replace(QUIET, load_average=None))) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"runs": 49}, "too few runs: 49"),
        ({"before": replace(QUIET, load_average=2.4)}, "load average 2.40 on 4 cores"),
        ({"others_share": 0.3}, "30 % of all CPUs' time"),
        ({"delegate": Delegate(None, 0, 33, 0)}, "delegate missing"),
        ({"delegate": Delegate(None, None, None, None), "has_delegate": False}, "delegate unknown"),
        ({"delegate": Delegate(None, None, None, None)}, "delegate unknown"),
        (
            {"during": (replace(QUIET, throttling=decode_throttled(0x20002)),)},
            "throttled: frequency capped",
        ),
        ({"groups_ms": (1.0, 1.0, 1.0, 1.0, 1.06)}, "unsteady: p50 of 5"),
    ],
)
def test_each_reason_alone(changes: dict, reason: str) -> None:
    reasons = reasons_against(replace(GOOD, **changes))
    assert len(reasons) == 1
    assert reason in reasons[0]


def test_where_no_delegate_exists_its_absence_is_no_reason() -> None:
    """A Raspberry Pi with a 32-bit system could never give a valid report otherwise."""
    assert reasons_against(replace(GOOD, delegate=Delegate(None, 0, 33, 0), has_delegate=False)) == []


def test_a_drift_of_five_percent_is_allowed() -> None:
    assert reasons_against(replace(GOOD, groups_ms=(1.0, 1.0, 1.0, 1.0, 1.05))) == []
    assert reasons_against(replace(GOOD, groups_ms=())) == []  # a tool that tells none


def test_throttling_now_and_in_between() -> None:
    def at(flags: int) -> Conditions:
        return replace(QUIET, throttling=decode_throttled(flags))

    assert reasons_against(replace(GOOD, before=at(0x50000), after=at(0x50000))) == []  # long ago, not now
    assert reasons_against(replace(GOOD, before=at(0), after=at(0x40000))) == ["throttled: throttled"]
    assert reasons_against(replace(GOOD, before=at(0), after=at(0x80008))) == [
        "throttled: soft temperature limit"
    ]


def test_company_is_what_others_take(tmp_path: Path) -> None:
    """100 of 200 ticks on two CPUs are a quarter of both CPUs' time; this process itself takes almost nothing."""
    stat = tmp_path / "proc/stat"
    stat.parent.mkdir()
    stat.write_text("cpu  1000 0 0 5000 0 0 0 0 0 0\ncpu0 1 0 0 1\ncpu1 1 0 0 1\n")
    others = OthersLoad(tmp_path)
    assert others.share() is None  # too short for ticks of 10 ms
    time.sleep(0.51)
    stat.write_text("cpu  1050 0 0 5050 0 0 0 0 0 0\ncpu0 1 0 0 1\ncpu1 1 0 0 1\n")
    share = others.share()
    assert share is not None
    assert 0 < share <= 0.5 / (2 * 0.51)  # as little as the machine was late
