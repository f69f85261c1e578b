"""The device's state while we measure (clock, temperature, throttling, other load), and facts about the device.

A fact that cannot be read is None; nothing is guessed.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet_device.entry import usable_cpus
from edgenet_device.foreign_text import is_number

ROOT = Path("/")
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


@dataclass(frozen=True)
class Conditions:
    """One reading of the device's state; a field is None where the device does not report it.

    Attributes:
        governors: names of the CPUs' cpufreq governors, each once.
        frequencies_mhz: clock by CPU, such as "cpu0".
        temperatures_celsius: temperature by sensor.
        throttling: see the function `throttling`.
        load_average: number of running processes, averaged over the last minute.
    """

    governors: list[str] | None
    frequencies_mhz: dict[str, float] | None
    temperatures_celsius: dict[str, float] | None
    throttling: dict[str, Any] | None
    load_average: float | None


def read_conditions(root: Path = ROOT) -> Conditions:
    """Read the conditions now; clock and governor are read for the CPUs that this process may use."""
    cpus = usable_cpus()
    return Conditions(
        _governors(cpus, root), _frequencies(cpus, root), _temperatures(root), throttling(root), load()
    )


def ends_of(before: Conditions, after: Conditions) -> dict[str, Any]:
    """Return the report's entries for clock, temperature and throttling, before and after the runs."""
    return {
        "governor": after.governors,
        "frequency_mhz": {"before": before.frequencies_mhz, "after": after.frequencies_mhz},
        "temperature_celsius": {"before": before.temperatures_celsius, "after": after.temperatures_celsius},
        "throttling": {"before": before.throttling, "after": after.throttling} if after.throttling else None,
    }


def hottest(temperatures: dict[str, float] | None) -> float | None:
    """Return the highest of all temperatures, degrees Celsius; None where the device reports none."""
    return max(temperatures.values()) if temperatures else None


def _governors(cpus: list[int], root: Path) -> list[str] | None:
    return sorted(set(_cpu_files(cpus, "scaling_governor", root).values())) or None


def _frequencies(cpus: list[int], root: Path) -> dict[str, float] | None:
    texts = _cpu_files(cpus, "scaling_cur_freq", root)
    return {f"cpu{cpu}": int(text) / 1000 for cpu, text in texts.items() if is_number(text)} or None


def _cpu_files(cpus: list[int], name: str, root: Path) -> dict[int, str]:
    texts = {cpu: read_text(root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}") for cpu in cpus}
    return {cpu: text for cpu, text in texts.items() if text}


def _temperatures(root: Path) -> dict[str, float] | None:
    """Return degrees Celsius by sensor: the readable thermal zones, such as "thermal_zone0 (cpu-thermal)".

    Where no zone can be read, the sensors of Android's services are returned; None where there are none
    either.
    """
    readings: dict[str, float] = {}
    for zone in _thermal_folders(root, "thermal_zone*"):
        text = read_text(zone / "temp")
        if text and re.fullmatch(r"-?\d+", text):
            readings[f"{zone.name} ({read_text(zone / 'type') or 'unnamed'})"] = int(text) / 1000
    return readings or _android_temperatures() or None


def _thermal_folders(root: Path, pattern: str) -> list[Path]:
    """Return the kernel's folders of thermal zones or cooling devices; none while no descriptor is free."""
    try:
        return sorted((root / "sys/class/thermal").glob(pattern))
    except OSError:
        return []


def _android_temperatures() -> dict[str, float]:
    """Return what Android's services report: a phone's shell user may not read the thermal zones."""
    texts = [run_tool("dumpsys", service) or "" for service in ("thermalservice", "battery")]
    return android_temperatures(*texts)


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


def load() -> float | None:
    """Return the average number of running processes over the last minute, ours included; None if unknown."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


class OthersLoad:
    """Measures how much of all CPUs' time went to other processes between construction and `share`."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._busy = _busy_seconds(root)
        self._own = _own_seconds()
        self._start = time.monotonic()

    def share(self) -> float | None:
        """Return the other processes' share of all CPUs' time, 0..1.

        It is None where /proc/stat cannot be read, or for less than 0.5 s: its ticks of 10 ms are too coarse
        then.
        """
        wall = time.monotonic() - self._start
        busy = _busy_seconds(self._root)
        if self._busy is None or busy is None or wall < 0.5:
            return None
        others = busy[0] - self._busy[0] - (_own_seconds() - self._own)
        return min(max(others / (wall * busy[1]), 0.0), 1.0)


def _own_seconds() -> float:
    """Return the CPU seconds of this process and of the tools that it has run."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _busy_seconds(root: Path) -> tuple[float, int] | None:
    """Return (busy seconds of all CPUs together, number of CPUs); None where /proc/stat cannot be read.

    Busy time is the sum of all columns except idle and iowait. Source: proc(5).
    """
    lines = (read_text(root / "proc/stat") or "").splitlines()
    cpus = sum(1 for line in lines if re.match(r"cpu\d", line))
    if not cpus or not lines[0].startswith("cpu "):
        return None
    ticks = [int(text) for text in lines[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), cpus


def throttling(root: Path = ROOT) -> dict[str, Any] | None:
    """Return what slows the device down, from the first source that answers; None without any source.

    The sources are the Pi's firmware, Android and the kernel. Each gives the same facts: "source"; "now", the
    list of what slows the device at this moment; "since_boot", the list of what has slowed it since it was
    switched on, or None where the source does not remember.
    """
    return _of_firmware() or _of_android() or _of_cooling(root)


def _of_firmware() -> dict[str, Any] | None:
    found = re.search(r"throttled=(0x[0-9a-fA-F]+)", run_tool("vcgencmd", "get_throttled") or "")
    return decode_throttled(int(found.group(1), 16)) if found else None


def decode_throttled(flags: int) -> dict[str, Any]:
    """Return the facts from the number that vcgencmd prints; "flags" is that number, such as "0x50005"."""
    return {
        "source": "vcgencmd",
        "flags": hex(flags),
        "now": [name for bit, name in enumerate(THROTTLE_FLAGS) if flags >> bit & 1],
        "since_boot": [name for bit, name in enumerate(THROTTLE_FLAGS) if flags >> (16 + bit) & 1],
    }


def _of_android() -> dict[str, Any] | None:
    text = run_tool("dumpsys", "thermalservice")
    return decode_thermalservice(text) if text else None


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


def _of_cooling(root: Path) -> dict[str, Any] | None:
    """Return which CPUs the kernel slows down against heat now; None if it has no CPU cooling device."""
    now, known = [], False
    for device in _thermal_folders(root, "cooling_device*"):
        kind, state = read_text(device / "type") or "", read_text(device / "cur_state") or ""
        if not _CLOCK.match(kind) or not is_number(state):
            continue
        known = True
        if int(state):
            now.append(f"{kind} slowed down (step {state} of {read_text(device / 'max_state') or 'unknown'})")
    return {"source": "thermal zones", "now": now, "since_boot": None} if known else None


def device_facts(root: Path = ROOT) -> dict[str, Any]:
    """Return model, SoC, CPU, cores, memory, OS, kernel, machine and Python version; None for unknown ones.

    Args:
        root: folder that holds /proc, /sys and /etc.
    """
    return {
        "model": _model(root),
        "soc": _soc(root),
        "cpu": _cpu(root),
        "cores": os.cpu_count(),
        "memory_bytes": _kib_field(root / "proc/meminfo", "MemTotal"),
        "os": _operating_system(root),
        "kernel": platform.release() or None,
        "machine": platform.machine() or None,
        "python": platform.python_version(),
    }


def _model(root: Path) -> str | None:
    """Return the model: from the device tree (Raspberry Pi), else Android's properties, else a PC's DMI."""
    tree = read_text(root / "proc/device-tree/model")
    if tree:
        return tree
    android = [_property("ro.product.manufacturer"), _property("ro.product.model")]
    dmi = [read_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    return _joined(android) or _joined(dmi)


def _soc(root: Path) -> str | None:
    """Return the device tree's most general name, such as "brcm,bcm2711", else Android's name."""
    compatible = read_text(root / "proc/device-tree/compatible")
    if compatible:
        return compatible.split("\0")[-1]
    return _property("ro.soc.model") or _property("ro.board.platform")


def _cpu(root: Path) -> str | None:
    text = read_text(root / "proc/cpuinfo") or ""
    found = re.search(r"^(?:model name|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _operating_system(root: Path) -> str | None:
    release = read_text(root / "etc/os-release") or ""
    found = re.search(r'^PRETTY_NAME="?(.*?)"?$', release, re.MULTILINE)
    android = _property("ro.build.version.release")
    if android:
        return f"Android {android}"
    return found.group(1) if found else platform.system() or None


def _property(name: str) -> str | None:
    return run_tool("getprop", name)


def _joined(parts: list[str | None]) -> str | None:
    return " ".join(part for part in parts if part) or None


def peak_memory_bytes(root: Path = ROOT) -> int | None:
    """Return this process's peak memory so far (VmHWM); None where /proc does not report it.

    It is not read with getrusage, because there Linux lets a child inherit its parent's maximum.
    """
    return _kib_field(root / "proc/self/status", "VmHWM")


def _kib_field(path: Path, name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", read_text(path) or "", re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def read_text(path: Path) -> str | None:
    """Return a file of /proc or /sys as text, None if it is unreadable or empty.

    White space and NULs at both ends are removed, because device tree strings end in NUL.
    """
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \t\r\n") or None
    except OSError:
        return None


def run_tool(*command: str) -> str | None:
    """Run a device's program and return its output; None if it is missing, fails or takes more than 5 s."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
