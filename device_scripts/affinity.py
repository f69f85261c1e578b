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
    return sets_of(set(usable_cpus()), _policies(root))


def sets_of(usable: set[int], policies: list[tuple[str, str]]) -> list[CpuSet]:
    """The same of any device.

    Args:
        usable: CPUs that a program may run on.
        policies: of each of cpufreq's policies the texts of `related_cpus` and `cpuinfo_max_freq`.
    """
    clusters = sorted(_clusters(usable, policies), key=lambda cluster: cluster.max_mhz or 0, reverse=True)
    sets = [CpuSet(ALL, tuple(sorted(usable)), max((c.max_mhz or 0 for c in clusters), default=0) or None)]
    if len(clusters) < 2:
        return sets
    sets += clusters
    for count in range(2, len(clusters)):
        together = tuple(sorted(cpu for cluster in clusters[:count] for cpu in cluster.cpus))
        sets.append(CpuSet(cpu_list(together), together, clusters[0].max_mhz))
    return sets


def big_set(root: Path = ROOT) -> CpuSet:
    """All clusters but the slowest; all usable CPUs where there is but one."""
    return big_of(found_sets(root))


def big_of(found: list[CpuSet]) -> CpuSet:
    """The same of a device with these sets, of which the first is all of it."""
    whole, *others = found
    if not others:
        return whole
    slowest = min(others, key=lambda one: one.max_mhz or 0)
    cpus = tuple(sorted({*whole.cpus} - {*slowest.cpus}))
    return CpuSet(cpu_list(cpus), cpus, whole.max_mhz)


def parse_sets(text: str, root: Path = ROOT) -> list[CpuSet]:
    """The sets that the user names: "all", "big", "auto" for all that are worth trying, or lists, as "0-3/4-7".

    Raises:
        EdgenetError: no such list, or a CPU that this process may not use.
    """
    return chosen_sets(text, found_sets(root))


def chosen_sets(text: str, found: list[CpuSet]) -> list[CpuSet]:
    """The same of a device with these sets, of which the first is all of it."""
    if text == "auto":
        return found
    if text == "big":
        return [big_of(found)]
    sets, usable = [], found[0].cpus
    for part in text.split("/"):
        cpus = usable if part == ALL else parse_cpu_list(part)
        missing = sorted(set(cpus) - set(usable))
        if missing:
            raise EdgenetError(
                f"CPU {missing[0]} is not among those that can be used, {cpu_list(usable)}",
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


def _policies(root: Path) -> list[tuple[str, str]]:
    folders = sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    names = ("related_cpus", "cpuinfo_max_freq")
    return [(read_text(one / names[0]) or "", read_text(one / names[1]) or "") for one in folders]


def _clusters(usable: set[int], policies: list[tuple[str, str]]) -> list[CpuSet]:
    """cpufreq's policies: CPUs that share a clock. https://docs.kernel.org/admin-guide/pm/cpufreq.html"""
    clusters = []
    for related, fastest in policies:
        cpus = sorted(int(text) for text in related.split() if text.isdigit())
        kept = tuple(cpu for cpu in cpus if cpu in usable)
        if kept:
            clusters.append(CpuSet(cpu_list(kept), kept, int(fastest) / 1000 if fastest.isdigit() else None))
    return _joined(clusters)


def _joined(clusters: list[CpuSet]) -> list[CpuSet]:
    """Clusters of the same clock as one: on a PC each CPU has a policy of its own."""
    joined: dict[float | None, tuple[int, ...]] = {}
    for cluster in clusters:
        joined[cluster.max_mhz] = (*joined.get(cluster.max_mhz, ()), *cluster.cpus)
    return [CpuSet(cpu_list(tuple(sorted(cpus))), tuple(sorted(cpus)), mhz) for mhz, cpus in joined.items()]
