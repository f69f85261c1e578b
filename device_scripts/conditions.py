"""What may change while we measure: clock, temperature, throttling, other load; None for what is unknown."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .entry import usable_cpus
from .facts import ROOT, read_text, run_tool
from .throttling import android_temperatures, throttling


@dataclass(frozen=True)
class Conditions:
    """One reading of the device's state; a field is None where the device does not report it.

    Attributes:
        governors: names of the CPUs' cpufreq governors, each once.
        frequencies_mhz: clock by CPU, such as "cpu0".
        temperatures_celsius: temperature by sensor.
        throttling: see `throttling.throttling`.
        load_average: number of running processes, averaged over the last minute.
    """

    governors: list[str] | None
    frequencies_mhz: dict[str, float] | None
    temperatures_celsius: dict[str, float] | None
    throttling: dict[str, Any] | None
    load_average: float | None


def look(root: Path = ROOT) -> Conditions:
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


def hottest(temperatures: dict[str, float] | None) -> float | None:
    """Return the highest of all temperatures, degrees Celsius; None where the device reports none."""
    return max(temperatures.values()) if temperatures else None


def _cpu_files(cpus: list[int], name: str, root: Path) -> dict[int, str]:
    texts = {cpu: read_text(root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}") for cpu in cpus}
    return {cpu: text for cpu, text in texts.items() if text}


def _governors(cpus: list[int], root: Path) -> list[str] | None:
    return sorted(set(_cpu_files(cpus, "scaling_governor", root).values())) or None


def _frequencies(cpus: list[int], root: Path) -> dict[str, float] | None:
    texts = _cpu_files(cpus, "scaling_cur_freq", root)
    return {f"cpu{cpu}": int(text) / 1000 for cpu, text in texts.items() if text.isdigit()} or None


def _temperatures(root: Path) -> dict[str, float] | None:
    """Return degrees Celsius by sensor: the readable thermal zones, such as "thermal_zone0 (cpu-thermal)".

    Where no zone can be read, the sensors of Android's services are returned; None where there are none
    either.
    """
    readings: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        text = read_text(zone / "temp")
        if text and re.fullmatch(r"-?\d+", text):
            readings[f"{zone.name} ({read_text(zone / 'type') or 'unnamed'})"] = int(text) / 1000
    return readings or _android_temperatures() or None


def _android_temperatures() -> dict[str, float]:
    """Return what Android's services report: a phone's shell user may not read the thermal zones."""
    texts = [run_tool("dumpsys", service) or "" for service in ("thermalservice", "battery")]
    return android_temperatures(*texts)
