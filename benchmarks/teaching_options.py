"""The command line that the benchmarks of teaching have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.classifying.photo_sets import SETS
from benchmarks.environments import ROOT
from benchmarks.options import names_of, numbers


def teaching_parser(
    name: str, text: str | None, sizes: tuple[int, ...], seeds: tuple[int, ...]
) -> argparse.ArgumentParser:
    """Return a parser with the options for the sets, sizes and seeds, and for where photos and results lie.

    Args:
        name: the name of the benchmark.
        text: what it does.
        sizes: the photos a class, if none are given.
        seeds: the seeds, if none are given.
    """
    parser = argparse.ArgumentParser(
        prog=name, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sets", type=names_of(tuple(SETS)), default=tuple(SETS), help=f"default: {','.join(SETS)}")
    add("--sizes", type=numbers, default=sizes, help=f"photos a class (default: {_listed(sizes)})")
    add("--seeds", type=numbers, default=seeds, help=f"default: {_listed(seeds)}")
    add("--resolution", type=int, default=96, help="side of the network's input, pixels (default: 96)")
    add("--threads", type=int, help="threads of torch and OpenCV (default: as many as they choose)")
    add("--report", action="store_true", help="only print the table of the kept results")
    add("--cache", type=Path, metavar="FOLDER", help="downloads, prepared sets and results")
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the zips")
    return parser


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
