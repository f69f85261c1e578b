"""Whether a file is read to the end: `python survival.py FOLDER` does it in a process with a limit on its memory.

Every outcome must be a good graph, which runs, or one line for the user.
"""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgenet.errors import EdgenetError
from edgenet.graph.cost import cost
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.graph.passes.simplify import lower
from edgenet.quantize.integer import run_integer
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.tflite.layout import float_program
from edgenet.tflite.to_graph import float_graph, quantized_graph
from edgenet.verbs.inspect import inspect
from edgenet.verbs.sources import SourceOptions, open_source

MEMORY = 4 << 30
"""Bytes of address space, of which torch alone takes half."""
SMALL = 10**7


def survives(path: Path) -> bool:
    """Reads the file by every way in; returns whether any of them gave a graph. Only EdgenetError is caught."""
    ways: tuple[Callable[[Path], Any], ...] = (_read_float, _read_int8, _open, inspect)
    outcomes = [_one(way, path) for way in ways]
    return any(outcomes)


def _one(way: Callable[[Path], Any], path: Path) -> bool:
    try:
        way(path)
    except EdgenetError as error:
        line = str(error)
        assert line.isprintable(), repr(line)
        assert len(line) < 2000, line
        return False
    return True


def _read_float(path: Path) -> None:
    graph = float_graph(read_tflite(path.read_bytes(), str(path)))
    if _is_small(graph):
        run(graph, _photo(graph))


def _read_int8(path: Path) -> None:
    quantized = quantized_graph(read_tflite(path.read_bytes(), str(path)))
    if _is_small(quantized.graph):
        run_integer(quantized, _photo(quantized.graph))


def _open(path: Path) -> None:
    """As `convert --float` does it."""
    try:
        source = open_source(str(path), SourceOptions(normalization="-1..1"))
    except EdgenetError as error:
        if "needs no normalization" not in str(error):
            raise
        source = open_source(str(path), SourceOptions())
    data = write_tflite(float_program(lower(source.graph, exact_border=True)))
    assert source.labels is None or len(source.labels) == source.graph.classes
    if _is_small(source.graph):
        run(source.graph, _photo(source.graph))
        float_graph(read_tflite(data, "written"))


def _photo(graph: Graph) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, *graph.size, 3), np.uint8)


def _is_small(graph: Graph) -> bool:
    return cost(graph).mult_adds < SMALL and all(math.prod(shape) < SMALL for shape in graph.shapes.values())


def main() -> None:
    """Prints how many files of a folder gave a graph."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(sum(survives(path) for path in sorted(Path(sys.argv[1]).iterdir())))


if __name__ == "__main__":
    main()
