"""How much faster is int8 than float? Both files of a network in LiteRT, in turns, with one thread.

    .venv/bin/python -m benchmarks.int8_speed [--networks v3-small,v3-large,v4-conv-small] [--blocks 30] [--work FOLDER]

Blocks of inferences of the int8 and the float file alternate, so that a slow spell of the machine hits both. The ratio
is the median over the pairs of blocks. Neither the operators nor their time depend on the weights, so these are random.
With --work, the files that are already there are used: remove them after a change of the quantizer. The exit status is
0 even if the goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgenet_device.latency.conditions import device_facts

from benchmarks.options import names_of
from benchmarks.paper import float_file, int8_file
from benchmarks.tflite_files import latency_ratio, operators
from edgenet.assets import calibration_photos
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.workflows.mixed_precision import LatencyRatio
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
HEAD = "| network | int8, ms | float, ms | int8 / float | operators, int8 and float | goal |\n|---|---|---|---|---|---|"


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
    found = latency_ratio(int8, real, photo, blocks, runs)
    return row(key, found, sum(operators(int8).values()), sum(operators(real).values()))


def row(key: str, found: LatencyRatio, int8_operators: int, float_operators: int) -> str:
    """Return a row of the table; the goal is "-" for a network that has none."""
    goal = "-"
    if key in GOALS:
        goal = f"at most {GOALS[key]:.1f}: {'met' if found.ratio <= GOALS[key] else '**missed**'}"
    times = f"{found.first_ms:.2f} | {found.second_ms:.2f} | {found.ratio:.2f}"
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
