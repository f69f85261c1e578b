"""Check that damaged files are read to the end: `python survival.py FILE SEED COUNT MUTATION...`.

Every outcome must be a good graph, which runs, or one line for the user. This runs in its own process,
because it may crash, with limits on its memory and on the time for a file. The file that fails is left behind
as FILE.
"""

from __future__ import annotations

import json
import math
import random
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from every_layer import network, quantized_network, with_weights_behind
from mutations import MUTATIONS
from other_tools import FILES

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.graph.shapes import cost
from edgenet.manifest import Facts, Weights
from edgenet.quantize.integer import run_integer
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.tflite.from_graph import float_program, int8_program, raw_program, write_model
from edgenet.tflite.to_graph import float_graph, quantized_graph
from edgenet.workflows.inspect import inspect
from edgenet.workflows.sources import SourceOptions, open_source

MEMORY = 4 << 30
"""Bytes of address space, of which torch alone takes half."""
TIME = 10
"""Seconds for one file, which takes some 0.02."""
SMALL = 10**7


def whole_files() -> dict[str, bytes]:
    """Return files with every layer, with and without metadata, and one for each form of other tools."""
    facts, labels = Facts("net", Weights("made for a test", "Apache-2.0")), [*"abcdefg"]
    raw = write_tflite(raw_program(quantized_network()))
    return {
        "float": write_model(float_program(network()), facts, labels),
        "int8": write_model(int8_program(quantized_network()), facts, labels),
        "raw": raw,
        "behind": with_weights_behind(raw),
        **{name: make() for name, make in FILES.items()},
    }


def survives(path: Path) -> bool:
    """Return whether `inspect`, the last reader that is tried here, reads the file.

    Only EdgenetError is caught.
    """
    ways: tuple[Callable[[Path], Any], ...] = (_read_float, _read_int8, _open, inspect)
    return [_one(way, path) for way in ways][-1]


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
    """Read the file as `convert --float` does."""
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
    """Print how many files of each mutation were read, as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    warnings.simplefilter("error")  # a warning would be a second line on the user's screen
    path, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = whole_files()
    for name, data in files.items():
        path.write_bytes(data)
        assert survives(path), name
    plain, carrying = list(files.values()), [files["float"], files["int8"]]
    found = dict.fromkeys(sys.argv[4:], 0)
    for name in found:
        rng = random.Random(f"{name} {seed}")
        for _ in range(count):
            path.write_bytes(
                MUTATIONS[name](rng.choice(carrying if name == "metadata_changed" else plain), rng)
            )
            signal.alarm(TIME)  # whose signal ends the process
            found[name] += survives(path)
            signal.alarm(0)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
