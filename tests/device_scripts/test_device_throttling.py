"""Sources of throttling reports and their parsing. The texts are those of the real tools; no Pi or phone is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgenet_device.latency.conditions import (
    android_temperatures,
    decode_thermalservice,
    decode_throttled,
    read_conditions,
    throttling,
)
from phone_parts import THERMALSERVICE

BATTERY = """Current Battery Service state:
  AC powered: false
  level: 84
  temperature: 281
  technology: Li-ion
"""


def test_a_pi_s_flags() -> None:
    assert decode_throttled(0x50005) == {
        "source": "vcgencmd",
        "flags": "0x50005",
        "now": ["under-voltage", "throttled"],
        "since_boot": ["under-voltage", "throttled"],
    }
    assert decode_throttled(0xA000A)["now"] == ["frequency capped", "soft temperature limit"]
    assert decode_throttled(0)["since_boot"] == []


@pytest.mark.parametrize(
    ("status", "name", "now"),
    [
        (0, "none", []),
        (1, "light", []),
        (3, "severe", ["thermal status severe"]),
        (9, "shutdown", ["thermal status shutdown"]),
    ],
)
def test_android_s_status(status: int, name: str, now: list[str]) -> None:
    found = decode_thermalservice(THERMALSERVICE.format(status=status))
    assert found == {
        "source": "dumpsys thermalservice",
        "status": name,
        "now": now,
        "since_boot": None,
    }
    assert decode_thermalservice("Can't find service: thermalservice") is None
    # Integer.MIN_VALUE: nothing reported yet
    assert decode_thermalservice(THERMALSERVICE.format(status=-2147483648)) is None


def test_processors_may_be_throttled_while_the_skin_is_cool() -> None:
    cool = THERMALSERVICE.format(status=0)
    hot = cool.replace("mName=CPU0, mStatus=0", "mName=CPU0, mStatus=3")
    slow = hot.replace(
        "{mValue=0, mType=2, mName=thermal-cpufreq-0}", "{mValue=4, mType=2, mName=thermal-cpufreq-0}"
    )
    for text, now in (
        (hot, ["CPU0 severe"]),
        (slow, ["CPU0 severe", "thermal-cpufreq-0 slowed down (step 4)"]),
        (hot.partition("HAL Ready")[0], []),  # cached only
    ):
        found = decode_thermalservice(text)
        assert found is not None
        assert (found["status"], found["now"]) == ("none", now)


def test_android_s_temperatures() -> None:
    found = android_temperatures(THERMALSERVICE.format(status=0), BATTERY)
    assert found == {"CPU0": 41.3, "VIRTUAL-SKIN": 36.9, "battery": 28.1}
    assert android_temperatures("", "") == {}


def test_an_android_shell_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for dumpsys, for the way from the tool to the conditions."""
    tool = tmp_path / "bin/dumpsys"
    tool.parent.mkdir()
    (tmp_path / "thermalservice").write_text(THERMALSERVICE.format(status=2))
    (tmp_path / "battery").write_text(BATTERY)
    tool.write_text(f'#!/bin/sh\ncat "{tmp_path}/$1"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    seen = read_conditions(tmp_path)
    assert seen.throttling is not None
    assert seen.throttling["now"] == ["thermal status moderate"]
    assert seen.temperatures_celsius == {"CPU0": 41.3, "VIRTUAL-SKIN": 36.9, "battery": 28.1}


def test_the_kernel_s_cooling_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert throttling(tmp_path) is None
    fan, clock = (tmp_path / f"sys/class/thermal/cooling_device{n}" for n in (0, 1))
    for device, kind, state in ((fan, "pwm-fan", "3"), (clock, "thermal-cpufreq-0", "0")):
        device.mkdir(parents=True)
        for name, text in (("type", kind), ("cur_state", state), ("max_state", "4")):
            (device / name).write_text(f"{text}\n")
    assert throttling(tmp_path) == {"source": "thermal zones", "now": [], "since_boot": None}
    (clock / "cur_state").write_text("2\n")
    found = throttling(tmp_path)
    assert found is not None
    assert found["now"] == [
        "thermal-cpufreq-0 slowed down (step 2 of 4)"
    ]  # a fan that turns is no throttling
