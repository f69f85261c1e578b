"""How much faster is int8 than float? Both files of a network in LiteRT, in turns, with one thread.

    .venv/bin/python -m benchmarks.int8_speed [--networks v3-small,v3-large,v4-conv-small] [--blocks 30] [--work FOLDER]

Blocks of inferences of the int8 and the float file alternate, so that a slow spell of the machine hits both. The times
are those of the thread's processor, which leave out what other processes took on a busy machine; the ratio is the
median over the pairs of blocks. The ratio by the clock on the wall stands beside it, and equals it on an idle machine.
Neither the operators nor their time depend on the weights, so these are random. With --work, the files that are already
there are used: remove them after a change of the quantizer. The exit status is 0 even if the goal is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.latency.conditions import device_facts

from benchmarks.options import names_of
from benchmarks.paper import float_file, int8_file
from benchmarks.tflite_files import open_file, operators, put_pixels
from edgenet.assets import calibration_photos
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.zoo.registry import parse_variant

VARIANTS = {
    "v1": "mobilenet_v1_1.0_224",
    "v2": "mobilenet_v2_1.0_224",
    "v3-small": "mobilenet_v3_small_1.0_224",
    "v3-large": "mobilenet_v3_large_1.0_224",
    "v4-conv-small": "mobilenet_v4_conv_small_1.0_224",
}
DEFAULT = ("v3-small", "v3-large", "v4-conv-small")
GOALS: Mapping[str, float] = {"v3-small": 0.8, "v3-large": 0.8}
"""The largest share of the float file's time that the int8 file may take."""
HEAD = (
    "| network | int8, ms | float, ms | int8 / float | on the wall | operators, int8 and float | goal |\n"
    "|---|---|---|---|---|---|---|"
)
WARM_UP = 10


@dataclass(frozen=True)
class Timed:
    """The int8 and the float file in turns.

    Attributes:
        int8_ms, float_ms: processor time of an inference, the median over the blocks' medians, milliseconds.
        ratio: int8 / float, the median over the pairs of blocks.
        wall_ratio: the same by the clock on the wall.
    """

    int8_ms: float
    float_ms: float
    ratio: float
    wall_ratio: float


def main() -> int:
    """Print a table in Markdown; return the exit status."""
    options = _parser().parse_args()
    facts = device_facts()
    print(
        f"{facts['cpu']}, 1 thread, {options.blocks} pairs of blocks of {options.runs} inferences\n\n{HEAD}"
    )
    try:
        with tempfile.TemporaryDirectory(prefix="edgenet-speed-") as spare:
            for key in options.networks:
                folder = (options.work or Path(spare)) / VARIANTS[key]
                print(timed(key, folder, options.blocks, options.runs), flush=True)
    except (EdgenetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def timed(key: str, folder: Path, blocks: int, runs: int) -> str:
    """Make both files of a network in `folder`, time them in turns, and return a row of the table.

    Raises:
        EdgenetError: a file cannot be made.
    """
    name = VARIANTS[key]
    int8, real = int8_file(name, folder), float_file(name, folder)
    photo = load_all(open_photos(calibration_photos()), parse_variant(name).resolution, limit=1).images
    interpreters = [open_file(int8), open_file(real)]
    for interpreter in interpreters:
        put_pixels(interpreter, photo)
    found = in_turns(interpreters[0].invoke, interpreters[1].invoke, blocks, runs)
    return row(key, found, sum(operators(int8).values()), sum(operators(real).values()))


def in_turns(int8: Callable[[], object], real: Callable[[], object], blocks: int, runs: int) -> Timed:
    """Time two calls in alternating blocks, whose order alternates too.

    Args:
        int8, real: functions that run one inference each, in this thread.
        blocks: number of pairs of blocks.
        runs: number of inferences per block.
    """
    calls = (int8, real)
    for call in calls:
        for _ in range(WARM_UP):
            call()
    medians: tuple[list[tuple[float, float]], ...] = ([], [])
    for block in range(blocks):
        for which in (0, 1) if block % 2 == 0 else (1, 0):
            medians[which].append(_block(calls[which], runs))
    pairs = list(zip(*medians, strict=True))
    return Timed(
        statistics.median(one[0] for one in medians[0]),
        statistics.median(one[0] for one in medians[1]),
        *(statistics.median(first[clock] / second[clock] for first, second in pairs) for clock in (0, 1)),
    )


def _block(call: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return the medians of a block, milliseconds: of the thread's processor time, and by the clock on the wall."""
    processor, wall = [], []
    for _ in range(runs):
        began, began_wall = time.thread_time_ns(), time.perf_counter_ns()
        call()
        processor.append((time.thread_time_ns() - began) / 1e6)
        wall.append((time.perf_counter_ns() - began_wall) / 1e6)
    return statistics.median(processor), statistics.median(wall)


def row(key: str, found: Timed, int8_operators: int, float_operators: int) -> str:
    """Return a row of the table; the goal is "-" for a network that has none."""
    goal = "-"
    if key in GOALS:
        goal = f"at most {GOALS[key]:.1f}: {'met' if found.ratio <= GOALS[key] else '**missed**'}"
    times = f"{found.int8_ms:.2f} | {found.float_ms:.2f} | {found.ratio:.2f} | {found.wall_ratio:.2f}"
    return f"| {key} | {times} | {int8_operators}, {float_operators} | {goal} |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.int8_speed", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    known = ",".join(VARIANTS)
    add("--networks", type=names_of(tuple(VARIANTS)), default=DEFAULT, help=f"all, or some of {known}")
    add("--blocks", type=int, default=30, metavar="N", help="pairs of blocks (default 30)")
    add("--runs", type=int, default=20, metavar="N", help="inferences in a block (default 20)")
    add("--work", type=Path, metavar="FOLDER", help="keep the files here for the next run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
