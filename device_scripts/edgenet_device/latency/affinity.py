"""CPU sets that a model may run on, as the kernel's cpufreq groups them, and how to pin threads to one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.entry import usable_cpus
from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import is_number
from edgenet_device.latency.conditions import ROOT, read_text

ALL = "all"


@dataclass(frozen=True)
class CpuSet:
    """A set of CPUs to pin threads to.

    Attributes:
        name: "all", or the CPUs as `taskset -c` takes them, such as "4-7" or "0,2".
        cpus: the CPUs' numbers, ascending.
        max_mhz: the highest clock of the set's fastest CPU; None where cpufreq does not report it.
    """

    name: str
    cpus: tuple[int, ...]
    max_mhz: float | None = None


@dataclass(frozen=True)
class Setting:
    """A number of threads and the CPUs they run on."""

    threads: int
    cpus: CpuSet


def found_sets(root: Path = ROOT) -> list[CpuSet]:
    """Return the CPU sets worth trying on this device; the first holds all usable CPUs.

    Where cpufreq has clusters of different clocks, the list also holds each cluster, and the fastest ones
    joined. Without cpufreq (virtual machines, containers), or with one cluster, it holds only "all".
    """
    return cpu_sets_from(set(usable_cpus()), _policies(root))


def cpu_sets_from(usable: set[int], policies: list[tuple[str, str]]) -> list[CpuSet]:
    """Return the same list as `found_sets`, for any device.

    Args:
        usable: CPUs that a program may run on.
        policies: for each cpufreq policy, the texts of `related_cpus` and `cpuinfo_max_freq`.
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
    """Return all clusters except the slowest; all usable CPUs where there is only one cluster."""
    return big_set_from(found_sets(root))


def big_set_from(found: list[CpuSet]) -> CpuSet:
    """Return the same set as `big_set`, for a device with these sets; the first must hold all its CPUs."""
    whole, *others = found
    if not others:
        return whole
    slowest = min(others, key=lambda one: one.max_mhz or 0)
    cpus = tuple(sorted({*whole.cpus} - {*slowest.cpus}))
    return CpuSet(cpu_list(cpus), cpus, whole.max_mhz)


def parse_sets(text: str, root: Path = ROOT) -> list[CpuSet]:
    """Return the sets that the user named.

    Args:
        text: "all", "big", "auto" for every set worth trying, or lists such as "0-3/4-7".

    Raises:
        EdgenetError: the text is not a list of CPUs, or it names a CPU that this process may not use.
    """
    return chosen_sets(text, found_sets(root))


def chosen_sets(text: str, found: list[CpuSet]) -> list[CpuSet]:
    """Return what `parse_sets` does, for a device with these sets; the first must hold all its CPUs."""
    if text == "auto":
        return found
    if text == "big":
        return [big_set_from(found)]
    sets, usable = [], found[0].cpus
    for part in text.split("/"):
        cpus = usable if part == ALL else parse_cpu_list(part)
        missing = sorted(set(cpus) - set(usable))
        if missing:
            raise EdgenetError(
                f"CPU {missing[0]} is not among the usable CPUs, {cpu_list(usable)}",
                "give --affinity auto, big, all, or lists of usable CPUs",
            )
        sets.append(CpuSet(part, cpus))
    return sets


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Return the CPU numbers, ascending, of a list in the kernel's format, such as "0-3,6".

    Raises:
        EdgenetError: the text is not in that format.
    """
    cpus: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        if not found or int(found.group(2) or found.group(1)) < int(found.group(1)):
            raise EdgenetError(f"'{text}' is not a list of CPUs", "give lists such as 0-3 or 0,2")
        cpus.update(range(int(found.group(1)), int(found.group(2) or found.group(1)) + 1))
    return tuple(sorted(cpus))


def cpu_list(cpus: tuple[int, ...]) -> str:
    """Return ascending CPU numbers in the kernel's list format: (0, 1, 2, 3, 6) gives "0-3,6"."""
    runs: list[list[int]] = []
    for cpu in cpus:
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def thread_cpu_settings(threads: list[int], sets: list[CpuSet]) -> list[Setting]:
    """Return every number of threads on every set that has at least that many CPUs.

    More threads than CPUs would only wait for each other.

    Raises:
        EdgenetError: every set has fewer CPUs than the smallest number of threads.
    """
    fitting = [Setting(count, cpus) for cpus in sets for count in threads if count <= len(cpus.cpus)]
    if not fitting:
        most = max(len(cpus.cpus) for cpus in sets)
        raise EdgenetError(
            f"{min(threads)} threads requested, but only {most} CPUs are usable", "request fewer threads"
        )
    return fitting


@contextlib.contextmanager
def staying_on(cpus: CpuSet) -> Iterator[None]:
    """Pin this thread, and every thread that it starts inside the block, to these CPUs.

    The block does nothing for the set "all", or where Python cannot pin threads on this system.

    Raises:
        EdgenetError: the system refuses.
    """
    if not hasattr(os, "sched_setaffinity") or cpus.name == ALL:
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus.cpus)
    except OSError as error:
        raise EdgenetError(
            f"cannot pin threads to CPUs {cpus.name}: {error.strerror}", "give --affinity all"
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
    """Return one set per clock. Each cpufreq policy groups CPUs that share a clock.

    Source: https://docs.kernel.org/admin-guide/pm/cpufreq.html
    """
    clusters = []
    for related, fastest in policies:
        cpus = sorted(int(text) for text in related.split() if is_number(text))
        kept = tuple(cpu for cpu in cpus if cpu in usable)
        if kept:
            clusters.append(CpuSet(cpu_list(kept), kept, int(fastest) / 1000 if is_number(fastest) else None))
    return _joined(clusters)


def _joined(clusters: list[CpuSet]) -> list[CpuSet]:
    """Merge clusters of equal clock: on a PC each CPU has a policy of its own."""
    joined: dict[float | None, tuple[int, ...]] = {}
    for cluster in clusters:
        joined[cluster.max_mhz] = (*joined.get(cluster.max_mhz, ()), *cluster.cpus)
    return [CpuSet(cpu_list(tuple(sorted(cpus))), tuple(sorted(cpus)), mhz) for mhz, cpus in joined.items()]
