"""Is the device slowing itself down? Asked of whoever knows: the Pi's firmware, Android, or the kernel's thermal zones.

Each source answers with the same facts: "source"; "now", what holds it back at this moment; "since_boot", what has
held it back since it was switched on, or None where the source keeps no memory. A device without any source is None.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .facts import ROOT, read_text, run_tool

# Bits 0-3 of `vcgencmd get_throttled` say what is so now, bits 16-19 what has been so since boot.
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
THROTTLE_FLAGS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
# PowerManager.THERMAL_STATUS_*; from "moderate" on Android slows down what the user notices, "light" is none yet.
# https://source.android.com/docs/core/power/thermal-mitigation
THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_FIRST_THAT_COUNTS = THERMAL_STATUS.index("moderate")
# Devices of the thermal framework whose cooling is a lower clock (drivers/thermal/cpufreq_cooling.c, ACPI's Processor).
_CLOCK = re.compile(r"(thermal-)?cpufreq-|Processor|cpu-?idle-")


def throttling(root: Path = ROOT) -> dict[str, Any] | None:
    """What holds the device back; None where nothing tells."""
    return _of_firmware() or _of_android() or _of_cooling(root)


def decode_throttled(flags: int) -> dict[str, Any]:
    """The facts from the number that vcgencmd prints, with "flags" in hexadecimal, as "0x50005"."""
    return {
        "source": "vcgencmd",
        "flags": hex(flags),
        "now": [name for bit, name in enumerate(THROTTLE_FLAGS) if flags >> bit & 1],
        "since_boot": [name for bit, name in enumerate(THROTTLE_FLAGS) if flags >> (16 + bit) & 1],
    }


def decode_thermalservice(text: str) -> dict[str, Any] | None:
    """The facts from what `dumpsys thermalservice` prints, with "status"; None where it states none."""
    found = re.search(r"Thermal Status:\s*(\d+)", text)
    if not found:
        return None
    status = min(int(found.group(1)), len(THERMAL_STATUS) - 1)
    now = [f"thermal status {THERMAL_STATUS[status]}"] if status >= _FIRST_THAT_COUNTS else []
    return {
        "source": "dumpsys thermalservice",
        "status": THERMAL_STATUS[status],
        "now": now,
        "since_boot": None,
    }


def android_temperatures(thermalservice: str, battery: str) -> dict[str, float]:
    """Degrees Celsius that Android's thermal service and its battery service print, by name.

    Of the thermal service only what the hardware says now; the cached values before it may be old.
    """
    current = thermalservice.partition("Current temperatures from HAL:")[2].partition("Current cooling")[0]
    readings = {
        name: float(value)
        for value, name in re.findall(r"mValue=(-?[\d.]+),[^}]*?mName=([^,}]+)", current)
        if -50 < float(value) < 200
    }
    found = re.search(r"^\s*temperature:\s*(-?\d+)\s*$", battery, re.MULTILINE)
    if found:
        readings["battery"] = int(found.group(1)) / 10
    return readings


def _of_firmware() -> dict[str, Any] | None:
    found = re.search(r"throttled=(0x[0-9a-fA-F]+)", run_tool("vcgencmd", "get_throttled") or "")
    return decode_throttled(int(found.group(1), 16)) if found else None


def _of_android() -> dict[str, Any] | None:
    text = run_tool("dumpsys", "thermalservice")
    return decode_thermalservice(text) if text else None


def _of_cooling(root: Path) -> dict[str, Any] | None:
    """The CPU clocks that the kernel's thermal framework may lower, and those that it lowers now."""
    now, known = [], False
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        kind, state = read_text(device / "type") or "", read_text(device / "cur_state") or ""
        if not _CLOCK.match(kind) or not state.isdigit():
            continue
        known = True
        if int(state):
            now.append(f"{kind} slowed down (step {state} of {read_text(device / 'max_state') or 'unknown'})")
    return {"source": "thermal zones", "now": now, "since_boot": None} if known else None
