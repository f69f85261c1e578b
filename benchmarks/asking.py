"""Clients that wait to be asked, so that several are timed in turns: the other end of `camera_clients/turns.py`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

from benchmarks.environments import ROOT
from edgenet.errors import EdgenetError


def start_client(command: Sequence[object]) -> subprocess.Popen[str]:
    """A client that can import this project, whatever environment it runs in."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def blocks_in_turns(
    commands: Mapping[str, Sequence[object]], blocks: int, runs: int, warm_up: int
) -> dict[str, list[float]]:
    """Times clients in blocks that take turns, every other round backwards; the others wait meanwhile.

    Args:
        commands: a client each.
        blocks: of each client.
        runs: per block.
        warm_up: runs of each client before the first block.

    Returns:
        The median of every block, ms, by client.

    Raises:
        EdgenetError: a client ended without an answer.
    """
    running = {name: start_client(command) for name, command in commands.items()}
    medians: dict[str, list[float]] = {name: [] for name in running}
    for process in running.values():
        _ask(process, warm_up)
    for block in range(blocks):
        for name in list(running) if block % 2 == 0 else reversed(running):
            medians[name].append(median(_ask(running[name], runs)))
    for process in running.values():
        process.communicate("")
    return medians


def ratio_of_blocks(first: Sequence[float], second: Sequence[float]) -> float:
    """The median over the pairs of blocks of first / second."""
    return median(one / other for one, other in zip(first, second, strict=True))


@contextmanager
def one_core() -> Iterator[None]:
    """Ties this process, and every client that it starts meanwhile, to its last core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _ask(process: subprocess.Popen[str], count: int) -> list[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{count}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except BrokenPipeError:
        answer = ""
    if not answer:
        raise EdgenetError(f"{process.args} ended without an answer", "run it by hand to see why")
    return [float(ms) for ms in json.loads(answer)]
