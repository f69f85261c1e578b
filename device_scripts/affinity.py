"""On which CPUs a model runs: the sets worth trying, as the kernel's cpufreq groups them, and how to stay on one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .entry import usable_cpus
from .errors import EdgenetError
from .facts import ROOT, read_text

ALL = "all"


@dataclass(frozen=True)
class CpuSet:
    """CPUs to stay on.

    Attributes:
        name: "all", or the CPUs as `taskset -c` takes them, such as "4-7" or "0,2".
        cpus: their numbers, ascending.
        max_mhz: the highest clock of the fastest; None where cpufreq does not tell.
    """

    name: str
    cpus: tuple[int, ...]
    max_mhz: float | None = None


@dataclass(frozen=True)
class Setting:
    """Threads on CPUs."""

    threads: int
    cpus: CpuSet


def found_sets(root: Path = ROOT) -> list[CpuSet]:
    """All usable CPUs; where cpufreq has clusters of different clocks, also each, and the fast ones together.

    Without cpufreq (virtual machines, containers), or with one cluster, there is nothing to choose: only "all".
    """
    clusters = _clusters(root)
    sets = [_all(clusters)]
    if len(clusters) < 2:
        return sets
    return sets + clusters + [_together(clusters[:count]) for count in range(2, len(clusters))]


def big_set(root: Path = ROOT) -> CpuSet:
    """All clusters but the slowest; all usable CPUs where there is but one."""
    clusters = _clusters(root)
    return _all(clusters) if len(clusters) < 2 else _together(clusters[:-1])


def parse_sets(text: str, root: Path = ROOT) -> list[CpuSet]:
    """The sets that the user names: "all", "big", "auto" for all that are worth trying, or lists, as "0-3/4-7".

    Raises:
        EdgenetError: no such list, or a CPU that this process may not use.
    """
    if text == "auto":
        return found_sets(root)
    if text == "big":
        return [big_set(root)]
    sets = []
    for part in text.split("/"):
        cpus = tuple(usable_cpus()) if part == ALL else parse_cpu_list(part)
        missing = sorted(set(cpus) - set(usable_cpus()))
        if missing:
            raise EdgenetError(
                f"CPU {missing[0]} is not among those that can be used, {cpu_list(tuple(usable_cpus()))}",
                "give --affinity auto, big, all, or lists of these",
            )
        sets.append(CpuSet(part, cpus))
    return sets


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's format, "0-3,6": ascending numbers.

    Raises:
        EdgenetError: another format.
    """
    cpus: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        if not found or int(found.group(2) or found.group(1)) < int(found.group(1)):
            raise EdgenetError(f"'{text}' is no list of CPUs", "give lists such as 0-3 or 0,2")
        cpus.update(range(int(found.group(1)), int(found.group(2) or found.group(1)) + 1))
    return tuple(sorted(cpus))


def cpu_list(cpus: tuple[int, ...]) -> str:
    """The reverse: (0, 1, 2, 3, 6) is "0-3,6"."""
    runs: list[list[int]] = []
    for cpu in cpus:
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def settings(threads: list[int], sets: list[CpuSet]) -> list[Setting]:
    """Every number of threads on every set that has as many CPUs: more threads than CPUs only wait for each other.

    Raises:
        EdgenetError: none fits.
    """
    fitting = [Setting(count, cpus) for cpus in sets for count in threads if count <= len(cpus.cpus)]
    if not fitting:
        most = max(len(cpus.cpus) for cpus in sets)
        raise EdgenetError(
            f"{min(threads)} threads asked for, and only {most} CPUs can be used", "ask for fewer threads"
        )
    return fitting


@contextlib.contextmanager
def staying_on(cpus: CpuSet) -> Iterator[None]:
    """Within the block this thread, and every thread that it starts, stays on these CPUs.

    Raises:
        EdgenetError: the system does not let it.
    """
    if not hasattr(os, "sched_setaffinity") or cpus.name == ALL:
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus.cpus)
    except OSError as error:
        raise EdgenetError(
            f"cannot stay on CPUs {cpus.name}: {error.strerror}", "give --affinity all"
        ) from None
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _all(clusters: list[CpuSet]) -> CpuSet:
    return CpuSet(ALL, tuple(usable_cpus()), clusters[0].max_mhz if clusters else None)


def _together(clusters: list[CpuSet]) -> CpuSet:
    cpus = tuple(sorted(cpu for cluster in clusters for cpu in cluster.cpus))
    return CpuSet(cpu_list(cpus), cpus, clusters[0].max_mhz)


def _clusters(root: Path) -> list[CpuSet]:
    """cpufreq's policies, CPUs that share a clock, the fastest first.

    https://docs.kernel.org/admin-guide/pm/cpufreq.html
    """
    usable, policies = set(usable_cpus()), []
    for policy in sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        cpus = tuple(
            int(text) for text in (read_text(policy / "related_cpus") or "").split() if text.isdigit()
        )
        fastest = read_text(policy / "cpuinfo_max_freq") or ""
        kept = tuple(cpu for cpu in sorted(cpus) if cpu in usable)
        if kept:
            policies.append(CpuSet(cpu_list(kept), kept, int(fastest) / 1000 if fastest.isdigit() else None))
    return sorted(_joined(policies), key=lambda cluster: cluster.max_mhz or 0, reverse=True)


def _joined(clusters: list[CpuSet]) -> list[CpuSet]:
    """Clusters of the same clock as one: on a PC each CPU has a policy of its own."""
    by_clock: dict[float | None, tuple[int, ...]] = {}
    for cluster in clusters:
        by_clock[cluster.max_mhz] = (*by_clock.get(cluster.max_mhz, ()), *cluster.cpus)
    return [CpuSet(cpu_list(tuple(sorted(cpus))), tuple(sorted(cpus)), mhz) for mhz, cpus in by_clock.items()]
