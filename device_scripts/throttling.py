"""Finds whether the device slows itself down: asks the Pi's firmware, Android, or the kernel.

Each source gives the same facts: "source"; "now", the list of what slows the device at this moment;
"since_boot", the list of what has slowed it since it was switched on, or None where the source does not
remember. The result is None on a device without any of these sources.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .facts import ROOT, read_text, run_tool

# Bits 0-3 of `vcgencmd get_throttled` say what is true now, bits 16-19 what has been true at any time since
# boot.
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
THROTTLE_FLAGS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
# PowerManager.THERMAL_STATUS_*. From "moderate" on, Android slows things down so that the user notices;
# "light" does not count as throttling yet.
# https://source.android.com/docs/core/power/thermal-mitigation
THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_FIRST_THAT_COUNTS = THERMAL_STATUS.index("moderate")
# The thermal service's dump has one item per line: Temperature.toString, with the TYPE_* of
# android.os.Temperature, and CoolingDevice.toString, where type 2 means CPU.
_SENSOR = re.compile(
    r"Temperature\{mValue=(?P<value>-?\d+\.\d+), mType=(?P<type>-?\d+), mName=(?P<name>.*), mStatus=(?P<status>\d+)\}"
)
_COOLING = re.compile(r"CoolingDevice\{mValue=(?P<step>\d+), mType=2, mName=(?P<name>.*)\}")
_PROCESSORS = (0, 13)  # CPU, SOC
_NO_TEMPERATURES = (6, 7, 8)  # voltage, current and charge of the battery
# Cooling devices of the thermal framework that cool by slowing the CPU (drivers/thermal/cpufreq_cooling.c,
# ACPI's Processor).
_CLOCK = re.compile(r"(thermal-)?cpufreq-|Processor|cpu-?idle-")


def throttling(root: Path = ROOT) -> dict[str, Any] | None:
    """Return what slows the device down, from the first source that answers; None without any source."""
    return _of_firmware() or _of_android() or _of_cooling(root)


def decode_throttled(flags: int) -> dict[str, Any]:
    """Return the facts from the number that vcgencmd prints; "flags" is that number, such as "0x50005"."""
    return {
        "source": "vcgencmd",
        "flags": hex(flags),
        "now": [name for bit, name in enumerate(THROTTLE_FLAGS) if flags >> bit & 1],
        "since_boot": [name for bit, name in enumerate(THROTTLE_FLAGS) if flags >> (16 + bit) & 1],
    }


def decode_thermalservice(text: str) -> dict[str, Any] | None:
    """Return the facts from the output of `dumpsys thermalservice`, with "status"; None if it has no status.

    The status is about the phone's skin alone; processors may be throttled before the skin is warm.
    """
    found = re.search(r"^Thermal Status: (\d+)$", text, re.MULTILINE)
    if not found:  # the pattern also rejects a status below zero: the hardware has not reported one yet
        return None
    status = _status_name(int(found.group(1)))
    return {
        "source": "dumpsys thermalservice",
        "status": status,
        "now": [f"thermal status {status}"] * _counts(status)
        + _hot_processors(text)
        + _slowed_processors(text),
        "since_boot": None,
    }


def android_temperatures(thermalservice: str, battery: str) -> dict[str, float]:
    """Return degrees Celsius by sensor name, from the dumps of Android's thermal and battery services."""
    readings = {
        sensor["name"]: float(sensor["value"])
        for sensor in _SENSOR.finditer(_section(thermalservice, "Current temperatures from HAL"))
        if int(sensor["type"]) not in _NO_TEMPERATURES and -50 < float(sensor["value"]) < 200
    }
    found = re.search(r"^\s*temperature:\s*(-?\d+)\s*$", battery, re.MULTILINE)
    if found:
        readings["battery"] = int(found.group(1)) / 10
    return readings


def _section(thermalservice: str, title: str) -> str:
    """Return the indented lines of a section of the dump.

    The sections "from HAL" are current; the cached sections before them may be old.
    """
    found = re.search(rf"^{title}:\n((?:[ \t].*\n?)*)", thermalservice, re.MULTILINE)
    return found.group(1) if found else ""


def _status_name(status: int) -> str:
    return THERMAL_STATUS[min(status, len(THERMAL_STATUS) - 1)]


def _counts(status: str) -> bool:
    return THERMAL_STATUS.index(status) >= _FIRST_THAT_COUNTS


def _hot_processors(thermalservice: str) -> list[str]:
    found = _SENSOR.finditer(_section(thermalservice, "Current temperatures from HAL"))
    states = [
        (one["name"], _status_name(int(one["status"]))) for one in found if int(one["type"]) in _PROCESSORS
    ]
    return [f"{name} {status}" for name, status in states if _counts(status)]


def _slowed_processors(thermalservice: str) -> list[str]:
    found = _COOLING.finditer(_section(thermalservice, "Current cooling devices from HAL"))
    return [f"{one['name']} slowed down (step {one['step']})" for one in found if int(one["step"])]


def _of_firmware() -> dict[str, Any] | None:
    found = re.search(r"throttled=(0x[0-9a-fA-F]+)", run_tool("vcgencmd", "get_throttled") or "")
    return decode_throttled(int(found.group(1), 16)) if found else None


def _of_android() -> dict[str, Any] | None:
    text = run_tool("dumpsys", "thermalservice")
    return decode_thermalservice(text) if text else None


def _of_cooling(root: Path) -> dict[str, Any] | None:
    """Return which CPUs the kernel slows down against heat now; None if it has no CPU cooling device."""
    now, known = [], False
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        kind, state = read_text(device / "type") or "", read_text(device / "cur_state") or ""
        if not _CLOCK.match(kind) or not state.isdigit():
            continue
        known = True
        if int(state):
            now.append(f"{kind} slowed down (step {state} of {read_text(device / 'max_state') or 'unknown'})")
    return {"source": "thermal zones", "now": now, "since_boot": None} if known else None
