"""The cost of a whole process: wall time, peak memory, and the disk space of its packages."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.environments import ROOT, importable_project
from edgenet.errors import EdgenetError

_MIB = 2**20
_SAMPLE_EVERY_S = 0.1  # seconds between two readings of the memory


@dataclass(frozen=True)
class ProcessCost:
    """The cost of one run of a command, including every process that it started.

    Attributes:
        wall_s: from the start of the process to its end, seconds.
        cpu_s: user and system time of the process and of the children that it waited for, seconds.
        peak_mib: peak resident memory, MiB: the larger of the kernel's high-water mark of the largest process, and the
            largest sum over all processes that was read (every 100 ms; shared pages count in each process).
        stdout: its standard output.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    stdout: str


def measure(command: Sequence[str], log: Path, tree: Path | None = None) -> ProcessCost:
    """Run `command` to its end and measure it. The program can import this project in any environment.

    The calling process should use little memory: Linux carries its high-water mark over to the new program, so a caller
    that has loaded a framework would measure its own memory.

    Args:
        command: program and arguments.
        log: file for stderr; it is overwritten.
        tree: a checkout of this project, in which the program runs and whose code it imports; None for this checkout,
            and for the current folder.

    Raises:
        EdgenetError: the program does not exist, or it failed; the message ends with the last lines of its output.
    """
    with log.open("w") as errors:
        begun = time.perf_counter()
        try:
            process = subprocess.Popen(
                command,
                env=importable_project(tree or ROOT),
                cwd=tree,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise EdgenetError(f"there is no program {command[0]}", "run `make setup` first") from error
        sums: list[int] = [0]
        sampler = threading.Thread(target=_sample_group, args=(process.pid, sums), daemon=True)
        sampler.start()
        assert process.stdout is not None
        stdout = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(
        status
    )  # wait4 reaped the process, so Popen must not wait again
    sampler.join()
    if process.returncode:
        tail = "\n".join((stdout + log.read_text()).strip().splitlines()[-8:])
        raise EdgenetError(
            f"`{' '.join(command)}` exited with {process.returncode}; its output ends:\n{tail}"
        )
    peak = max(usage.ru_maxrss * 1024, *sums) / _MIB
    return ProcessCost(wall, usage.ru_utime + usage.ru_stime, peak, stdout)


def installed_sizes(site: Path, names: Sequence[str]) -> dict[str, int]:
    """Return the sizes of the packages `names` in the folder `site`, and of all packages that they require there.

    The sizes come from the packages' own file lists, so that linters and test tools beside them do not count.

    Returns:
        The bytes of each package's files, by its canonical name.

    Raises:
        EdgenetError: one of `names` is not installed there.
    """
    installed = {
        canonicalize_name(found.metadata["Name"]): found for found in distributions(path=[str(site)])
    }
    for name in names:
        if canonicalize_name(name) not in installed:
            raise EdgenetError(f"{name} is not installed in {site}", "run `make setup` first")
    waiting, seen = [Requirement(name) for name in names], set()
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        # A required package that is not installed is for another platform, or for an extra that was not requested.
        if key not in seen and key[0] in installed:
            seen.add(key)
            waiting += _required(installed[key[0]], wanted.extras)
    return {name: _files_size(installed[name]) for name in {name for name, _ in seen}}


def _required(package: Distribution, extras: set[str]) -> list[Requirement]:
    """Return the packages that this one requires on this platform, with `extras`."""
    requirements = [Requirement(text) for text in package.requires or []]
    return [
        one
        for one in requirements
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras or {""})
    ]


def _files_size(package: Distribution) -> int:
    paths = (Path(str(file.locate())) for file in package.files or [])
    return sum(path.stat().st_size for path in paths if path.is_file())


def _sample_group(leader: int, sums: list[int]) -> None:
    """Append each new largest sum of resident bytes over the process group to `sums`, until the leader has ended."""
    while (total := _group_bytes(leader)) > 0:
        if total > sums[-1]:
            sums.append(total)
        time.sleep(_SAMPLE_EVERY_S)


def _group_bytes(group: int) -> int:
    """Return the resident bytes of all processes of the group; 0 once its leader has ended."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            # Fields after the name, which is in parentheses and may hold spaces: state, ppid, pgrp, ... (proc(5)).
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process has ended since the listing
        if int(fields[2]) == group:
            if int(entry) == group and fields[0] == "Z":
                return 0
            total += int(fields[21]) * page
    return total
