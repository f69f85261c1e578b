"""Time several client programs in turns: each is a process that waits until it is asked to run.

The clients' side of the conversation is `camera_clients/turns.py`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

from benchmarks.environments import importable_project
from edgenet.errors import EdgenetError


def start_client(command: Sequence[object]) -> subprocess.Popen[str]:
    """Start a client that can import this project in whatever environment it runs."""
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**importable_project(), "OMP_WAIT_POLICY": "passive"},
    )


def blocks_in_turns(
    commands: Mapping[str, Sequence[object]], blocks: int, runs: int, warm_up: int
) -> dict[str, list[float]]:
    """Time clients in blocks that take turns, in reverse order every other round; the other clients wait.

    Args:
        commands: the command of each client, by name.
        blocks: number of blocks of each client.
        runs: number of runs in a block.
        warm_up: number of runs of each client before the first block.

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
    """Return the median of first / second over the pairs of blocks."""
    return median(one / other for one, other in zip(first, second, strict=True))


@contextmanager
def one_core() -> Iterator[None]:
    """Pin this process, and every client that it starts meanwhile, to its last core."""
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
        command = shlex.join(process.args)  # type: ignore[arg-type]  # a list of strings: see start_client
        raise EdgenetError(f"`{command}` ended without an answer", "run it by hand to see why")
    return [float(ms) for ms in json.loads(answer)]
