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

from edgenet.devices.device import Device, DeviceFacts
from edgenet.devices.shell import script, understood

# In both scripts grep prints "path:line" for each line, and skips files that it may not read.
_ASK_CONDITIONS = r"""
grep -s '' /proc/loadavg /sys/devices/system/cpu/cpufreq/policy*/related_cpus \
    /sys/devices/system/cpu/cpufreq/policy*/scaling_governor \
    /sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq \
    /sys/class/thermal/thermal_zone*/type /sys/class/thermal/thermal_zone*/temp /dev/null
echo '== thermalservice'; dumpsys thermalservice 2>/dev/null
echo '== battery'; dumpsys battery 2>/dev/null
echo '== vcgencmd'; vcgencmd get_throttled 2>/dev/null
exit 0
"""


def conditions_there(device: Device) -> Conditions:
    """Return the device's present conditions; None for those that it does not report.

    Raises:
        EdgenetError: the device is disconnected, or its answer makes no sense.
    """
    text = device.run(script(_ASK_CONDITIONS)).out.decode(errors="replace")
    with understood(device):
        return _conditions(text)


def _conditions(text: str) -> Conditions:
    files, *tools = re.split(r"^== \w+\n", text, flags=re.MULTILINE)
    thermal, battery, firmware = tools
    found = _by_path(files)
    flags = re.search(r"throttled=(0x[0-9a-fA-F]+)", firmware)
    average = found.get("/proc/loadavg", "").partition(" ")[0]
    return Conditions(
        sorted({value for path, value in found.items() if path.endswith("/scaling_governor")}) or None,
        _frequencies(found) or None,
        _zones(found) or android_temperatures(thermal, battery) or None,
        decode_throttled(int(flags[1], 16)) if flags else decode_thermalservice(thermal),
        float(average) if average else None,
    )


_ASK_FACTS = r"""
for name in ro.product.manufacturer ro.soc.model ro.board.platform; do
    echo "$name:$(getprop $name 2>/dev/null)"
done
echo "kernel:$(uname -r)"
grep -s -E '^(MemTotal|Cpus_allowed_list|model name|Hardware)' /proc/meminfo /proc/self/status /proc/cpuinfo
grep -s '' /sys/devices/system/cpu/cpufreq/policy*/related_cpus \
    /sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq /sys/devices/system/cpu/online /dev/null
exit 0
"""


def facts_there(device: Device) -> tuple[dict[str, Any], list[CpuSet]]:
    """Return the device's facts for a report, and its sets of CPUs, beginning with the set of all CPUs.

    Raises:
        EdgenetError: the device is disconnected, or its answer makes no sense.
    """
    found = _by_path(device.run(script(_ASK_FACTS)).out.decode(errors="replace"))
    known = device.facts()
    with understood(device):
        return _facts(found, known)


def _facts(found: dict[str, str], known: DeviceFacts) -> tuple[dict[str, Any], list[CpuSet]]:
    usable = set(_usable_cpus(found))
    memory = re.search(r"\d+", found.get("/proc/meminfo", ""))
    maker = found.get("ro.product.manufacturer", "")
    facts = {
        "model": f"{maker} {known.model or ''}".strip() or None,
        "soc": found.get("ro.soc.model") or found.get("ro.board.platform") or None,
        "cpu": found.get("/proc/cpuinfo", "").partition(":")[2].strip() or None,
        "cores": len(usable) or None,
        "memory_bytes": int(memory[0]) * 1024 if memory else None,
        "os": known.system,
        "kernel": found.get("kernel") or None,
        "machine": known.machine,
        "python": None,
    }
    return facts, cpu_sets_from(usable, _policies(found))


def _by_path(text: str) -> dict[str, str]:
    """Return the first line of each file, by path."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        path, colon, value = line.partition(":")
        if colon:
            found.setdefault(path, value.strip())
    return found


def _usable_cpus(found: dict[str, str]) -> tuple[int, ...]:
    """Return the CPUs that the kernel lets our shell run on and that are online, ascending."""
    allowed = found.get("/proc/self/status", "").partition(":")[2].strip()
    online = found.get("/sys/devices/system/cpu/online", "")
    sets = [set(parse_cpu_list(text)) for text in (allowed, online) if text]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def _policies(found: dict[str, str]) -> list[tuple[str, str]]:
    """Return, for each cpufreq policy, the texts of its CPUs and their highest clock (kHz)."""
    return [
        (found[f"{one}/related_cpus"], found.get(f"{one}/cpuinfo_max_freq", "")) for one in _folders(found)
    ]


def _frequencies(found: dict[str, str]) -> dict[str, float]:
    """Return the clock of each CPU, MHz."""
    return {
        f"cpu{cpu}": int(khz) / 1000
        for folder in _folders(found)
        if (khz := found.get(f"{folder}/scaling_cur_freq", "")).isdigit()
        for cpu in found[f"{folder}/related_cpus"].split()
    }


def _zones(found: dict[str, str]) -> dict[str, float]:
    """Return the temperatures of all readable thermal zones, degrees Celsius.

    The zones are named as in `edgenet_device.latency.conditions`.
    """
    readings = {}
    for path, value in found.items():
        folder = PurePosixPath(path).parent
        if path.endswith("/temp") and re.fullmatch(r"-?\d+", value):
            readings[f"{folder.name} ({found.get(f'{folder}/type') or 'unnamed'})"] = int(value) / 1000
    return readings


def _folders(found: dict[str, str]) -> list[str]:
    """Return the folders of cpufreq's policies."""
    return sorted(str(PurePosixPath(path).parent) for path in found if path.endswith("/related_cpus"))
