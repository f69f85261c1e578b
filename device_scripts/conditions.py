"""What changes while measuring: clock, temperature, throttling, other load. None where the device does not tell."""

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
    """One look at the device."""

    governors: list[str] | None
    frequencies_mhz: dict[str, float] | None
    temperatures_celsius: dict[str, float] | None
    throttling: dict[str, Any] | None
    load_average: float | None


def look(root: Path = ROOT) -> Conditions:
    """Read the conditions now; clock and governor of the CPUs this process may use."""
    cpus = usable_cpus()
    return Conditions(
        _governors(cpus, root), _frequencies(cpus, root), _temperatures(root), throttling(root), load()
    )


def ends_of(before: Conditions, after: Conditions) -> dict[str, Any]:
    """Of the report: clock, temperature and throttling, before the runs and after."""
    return {
        "governor": after.governors,
        "frequency_mhz": {"before": before.frequencies_mhz, "after": after.frequencies_mhz},
        "temperature_celsius": {"before": before.temperatures_celsius, "after": after.temperatures_celsius},
        "throttling": {"before": before.throttling, "after": after.throttling} if after.throttling else None,
    }


def load() -> float | None:
    """Average number of running processes over the last minute, ours included."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


class OthersLoad:
    """How much of all CPUs' time went to other processes, from construction to `share`."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._busy = _busy_seconds(root)
        self._own = _own_seconds()
        self._start = time.monotonic()

    def share(self) -> float | None:
        """0..1 of all CPUs' time; None where /proc/stat does not tell or the time is too short for its 10 ms ticks."""
        wall = time.monotonic() - self._start
        busy = _busy_seconds(self._root)
        if self._busy is None or busy is None or wall < 0.5:
            return None
        others = busy[0] - self._busy[0] - (_own_seconds() - self._own)
        return min(max(others / (wall * busy[1]), 0.0), 1.0)


def _own_seconds() -> float:
    """CPU time of this process and of the tools that it has run."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _busy_seconds(root: Path) -> tuple[float, int] | None:
    """(seconds that all CPUs together were busy, their number); proc(5): all columns but idle and iowait."""
    lines = (read_text(root / "proc/stat") or "").splitlines()
    cpus = sum(1 for line in lines if re.match(r"cpu\d", line))
    if not cpus or not lines[0].startswith("cpu "):
        return None
    ticks = [int(text) for text in lines[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), cpus


def hottest(temperatures: dict[str, float] | None) -> float | None:
    """The highest of all temperatures, degrees Celsius; None where the device tells none."""
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
    """Every thermal zone that answers, as "thermal_zone0 (cpu-thermal)", else Android's services: degrees Celsius."""
    readings: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        text = read_text(zone / "temp")
        if text and re.fullmatch(r"-?\d+", text):
            readings[f"{zone.name} ({read_text(zone / 'type') or 'unnamed'})"] = int(text) / 1000
    return readings or _android_temperatures() or None


def _android_temperatures() -> dict[str, float]:
    """What a phone's shell user may see, for whom the zones themselves are locked."""
    texts = [run_tool("dumpsys", service) or "" for service in ("thermalservice", "battery")]
    return android_temperatures(*texts)
