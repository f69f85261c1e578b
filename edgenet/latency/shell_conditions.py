"""A device's facts and present conditions, asked through its shell alone, so that it needs no Python."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from edgenet_device.latency.affinity import CpuSet, cpu_sets_from, parse_cpu_list
from edgenet_device.latency.conditions import (
    Conditions,
    android_temperatures,
    decode_thermalservice,
    decode_throttled,
)

from edgenet.devices.device import Device, script

# grep prints "path:line" for each line, and skips files that it may not read.
_FACTS = r"""
for name in ro.product.manufacturer ro.soc.model ro.board.platform; do
    echo "$name:$(getprop $name 2>/dev/null)"
done
echo "kernel:$(uname -r)"
grep -s -E '^(MemTotal|Cpus_allowed_list|model name|Hardware)' /proc/meminfo /proc/self/status /proc/cpuinfo
grep -s '' /sys/devices/system/cpu/cpufreq/policy*/related_cpus \
    /sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq /sys/devices/system/cpu/online /dev/null
exit 0
"""
_LOOK = r"""
grep -s '' /proc/loadavg /sys/devices/system/cpu/cpufreq/policy*/related_cpus \
    /sys/devices/system/cpu/cpufreq/policy*/scaling_governor \
    /sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq \
    /sys/class/thermal/thermal_zone*/type /sys/class/thermal/thermal_zone*/temp /dev/null
echo '== thermalservice'; dumpsys thermalservice 2>/dev/null
echo '== battery'; dumpsys battery 2>/dev/null
echo '== vcgencmd'; vcgencmd get_throttled 2>/dev/null
exit 0
"""


def look_at(device: Device) -> Conditions:
    """Return the device's present conditions; None for those that it does not report.

    Raises:
        EdgenetError: the device is disconnected.
    """
    text = device.run(script(_LOOK)).out.decode(errors="replace")
    files, *tools = re.split(r"^== \w+\n", text, flags=re.MULTILINE)
    thermal, battery, firmware = tools
    told = _by_path(files)
    flags = re.search(r"throttled=(0x[0-9a-fA-F]+)", firmware)
    average = told.get("/proc/loadavg", "").partition(" ")[0]
    return Conditions(
        sorted({value for path, value in told.items() if path.endswith("/scaling_governor")}) or None,
        _frequencies(told) or None,
        _zones(told) or android_temperatures(thermal, battery) or None,
        decode_throttled(int(flags[1], 16)) if flags else decode_thermalservice(thermal),
        float(average) if average else None,
    )


def facts_there(device: Device) -> tuple[dict[str, Any], list[CpuSet]]:
    """Return the device's facts for a report, and its sets of CPUs, beginning with the set of all CPUs.

    Raises:
        EdgenetError: the device is disconnected.
    """
    told = _by_path(device.run(script(_FACTS)).out.decode(errors="replace"))
    known = device.facts()
    usable = set(_usable_cpus(told))
    memory = re.search(r"\d+", told.get("/proc/meminfo", ""))
    maker = told.get("ro.product.manufacturer", "")
    facts = {
        "model": f"{maker} {known.model or ''}".strip() or None,
        "soc": told.get("ro.soc.model") or told.get("ro.board.platform") or None,
        "cpu": told.get("/proc/cpuinfo", "").partition(":")[2].strip() or None,
        "cores": len(usable) or None,
        "memory_bytes": int(memory[0]) * 1024 if memory else None,
        "os": known.system,
        "kernel": told.get("kernel") or None,
        "machine": known.machine,
        "python": None,
    }
    return facts, cpu_sets_from(usable, _policies(told))


def _by_path(text: str) -> dict[str, str]:
    """Return the first line of each file, by path."""
    told: dict[str, str] = {}
    for line in text.splitlines():
        path, found, value = line.partition(":")
        if found:
            told.setdefault(path, value.strip())
    return told


def _usable_cpus(told: dict[str, str]) -> tuple[int, ...]:
    """Return the CPUs that the kernel lets our shell run on and that are online, ascending."""
    allowed = told.get("/proc/self/status", "").partition(":")[2].strip()
    online = told.get("/sys/devices/system/cpu/online", "")
    sets = [set(parse_cpu_list(text)) for text in (allowed, online) if text]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def _policies(told: dict[str, str]) -> list[tuple[str, str]]:
    """Return, for each cpufreq policy, the texts of its CPUs and their highest clock (kHz)."""
    return [(told[f"{one}/related_cpus"], told.get(f"{one}/cpuinfo_max_freq", "")) for one in _folders(told)]


def _frequencies(told: dict[str, str]) -> dict[str, float]:
    """Return the clock of each CPU, MHz."""
    return {
        f"cpu{cpu}": int(khz) / 1000
        for folder in _folders(told)
        if (khz := told.get(f"{folder}/scaling_cur_freq", "")).isdigit()
        for cpu in told[f"{folder}/related_cpus"].split()
    }


def _folders(told: dict[str, str]) -> list[str]:
    """Return the folders of cpufreq's policies."""
    return sorted(str(PurePosixPath(path).parent) for path in told if path.endswith("/related_cpus"))


def _zones(told: dict[str, str]) -> dict[str, float]:
    """Return the temperatures of all readable thermal zones, degrees Celsius.

    The zones are named as in `device_scripts.conditions`.
    """
    readings = {}
    for path, value in told.items():
        folder = PurePosixPath(path).parent
        if path.endswith("/temp") and re.fullmatch(r"-?\d+", value):
            readings[f"{folder.name} ({told.get(f'{folder}/type') or 'unnamed'})"] = int(value) / 1000
    return readings
