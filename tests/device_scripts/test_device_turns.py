"""Protocols, turns, the wait for the device, and the whole report of several models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.latency import interleaved
from edgenet_device.latency.affinity import CpuSet, Setting
from edgenet_device.latency.conditions import Conditions, decode_throttled
from edgenet_device.latency.interleaved import LoadedModel, load_model, measure_in_turns, settle
from edgenet_device.latency.report import QUICK, STANDARD, override_protocol
from edgenet_device.runtime import load_runtime
from model_files import Run

ALL = Setting(1, CpuSet("all", (0,)))
SEEN = Conditions(None, None, None, None, 0.0)


def quietly(stage: str, done: int, total: int) -> None:
    """No progress."""


def test_standard_is_mlperf_s_single_stream() -> None:
    assert (STANDARD.runs, STANDARD.min_seconds) == (1024, 60)


def test_less_than_a_protocol_asks_for_is_another() -> None:
    assert override_protocol(STANDARD, runs=None, sustained_s=60.0) == replace(STANDARD, sustained_s=60.0)
    assert override_protocol(STANDARD, runs=2000).name == "standard"
    assert (
        override_protocol(STANDARD, runs=1000).name
        == override_protocol(QUICK, min_seconds=0.5).name
        == "custom"
    )


def test_turns_go_there_and_back(tiny_tflite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [load_model(tiny_tflite, load_runtime(), ALL) for _ in range(2)]
    order: list[int] = []

    def sample(invoke, runs, seconds, warmup):
        order.append([model.interpreter.invoke for model in models].index(invoke))
        return np.full(runs, 1000)

    monkeypatch.setattr(interleaved, "sample", sample)
    measure_in_turns(models, replace(QUICK, runs=8, blocks=4), "runs", quietly)
    assert order == [0, 1, 1, 0, 0, 1, 1, 0]
    assert [block.size for block in models[0].blocks] == [2, 2, 2, 2]
    assert models[0].samples.size == 8
    assert [at for at, _ in models[0].readings] == sorted(at for at, _ in models[0].readings)


def test_a_model_s_median(tiny_tflite: Path) -> None:
    contender = load_model(tiny_tflite, load_runtime(), ALL)
    contender.blocks += [np.array([1_000_000, 2_000_000]), np.array([9_000_000])]
    assert isinstance(contender, LoadedModel)
    assert contender.p50_ms == 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that advances only during sleep."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(interleaved.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(interleaved.time, "sleep", sleep)
    monkeypatch.setattr(interleaved, "load", lambda: 0.0)
    return now


def test_it_waits_until_the_temperature_falls_no_more(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> Conditions:
        return replace(SEEN, temperatures_celsius={"cpu": max(70.0 - clock[0], 50.0)})

    monkeypatch.setattr(interleaved, "read_conditions", look)
    found = settle(120, quietly)
    assert found["settled"]
    assert 20 + interleaved.STEADY_S - 2 <= found["waited_s"] <= 20 + interleaved.STEADY_S + 2
    assert found["hottest_celsius"] == [70, 50]


def test_it_does_not_wait_for_ever(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[str] = []
    monkeypatch.setattr(interleaved, "read_conditions", lambda: replace(SEEN, throttling=decode_throttled(4)))
    monkeypatch.setattr(interleaved, "load", lambda: 9.0)
    found = settle(30, lambda stage, done, total: stages.append(stage))
    assert (found["settled"], found["waited_s"]) == (False, 30)
    assert found["waiting_for"] == ["load 9.00", "throttled"]
    assert stages[0] == "waiting for the device (load 9.00, throttled)"


def test_without_a_thermometer_it_does_not_wait(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interleaved, "read_conditions", lambda: SEEN)
    assert settle(120, quietly)["waited_s"] == 0


@pytest.mark.slow
def test_two_models_and_every_setting(run_copied: Run, tiny_bundle: Path, tiny_tflite: Path) -> None:
    models = [tiny_bundle, tiny_tflite]
    done = run_copied("measure_latency.py", *models, "--min-seconds", 0.05, "--affinity", "auto", "--lines")
    assert done.returncode == 0, done.stderr
    *lines, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["stage"] for line in lines} >= {"cold starts", "runs"}
    first, second = last["reports"]
    assert (first["model"]["file"], second["model"]["file"]) == ("tiny.edgenet", "tiny.tflite")
    assert first["protocol"]["name"] == "custom"
    for report in (first, second):
        assert len(report["during"]) == len(report["steady_state"]["block_sizes"]) == QUICK.blocks
        assert sum(report["steady_state"]["block_sizes"]) == report["steady_state"]["n"] >= QUICK.runs
        assert report["started"] == first["started"]
        assert report["peak_memory_bytes"] > 10_000_000
        assert report["cpu_sets"]["all"]["cpus"] == report["affinity"]


@pytest.mark.slow
def test_settings_are_tried_and_the_fastest_is_marked(run_copied: Run, tiny_tflite: Path) -> None:
    cpus = contenders_cpus()
    done = run_copied(
        "measure_latency.py", tiny_tflite, "--affinity", f"all/{cpus[0]}", "--min-seconds", 0.05, "--json"
    )
    report = json.loads(done.stdout)
    assert [row["cpus"] for row in report["tried"]] == ["all", str(cpus[0])]
    (best,) = [row for row in report["tried"] if row["best"]]
    assert report["affinity"] == (cpus if best["cpus"] == "all" else cpus[:1])
    assert best["p50_ms"] <= 1.02 * min(row["p50_ms"] for row in report["tried"])


def contenders_cpus() -> list[int]:
    from edgenet_device.entry import usable_cpus

    return usable_cpus()
