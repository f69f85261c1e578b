"""Damaged files by every way in: each ends in a graph that runs, or in one line for the user."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from every_layer import network, quantized_network
from mutations import MUTATIONS, Mutation
from other_tools import FILES
from survival import survives

from edgenet.bundle.manifest import Facts, Weights
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.layout import float_program, int8_program, raw_program
from edgenet.tflite.model_file import write_model

TIME_LIMIT = 10.0
"""Seconds for one file; it takes some 0.02."""
MEMORY_TRIED = 20


@cache
def whole_files() -> dict[str, bytes]:
    """Files with every layer, with and without metadata, and one for each way of other tools."""
    facts, labels = Facts("net", Weights("made for a test", "Apache-2.0")), [*"abcdefg"]
    return {
        "float": write_model(float_program(network()), facts, labels),
        "int8": write_model(int8_program(quantized_network()), facts, labels),
        "raw": write_tflite(raw_program(quantized_network())),
        **{name: make() for name, make in FILES.items()},
    }


def damaged(mutation: Mutation, seed: int, count: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(count):
        yield mutation(rng.choice(list(whole_files().values())), rng)


def survivors(path: Path, mutation: Mutation, seed: int, count: int) -> int:
    """How many of the damaged files still gave a graph; the file that fails stays at `path`."""
    found = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would be a second line on the user's screen
        for data in damaged(mutation, seed, count):
            path.write_bytes(data)
            start = time.monotonic()
            found += survives(path)
            assert time.monotonic() - start < TIME_LIMIT
    return found


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_damage(mutation: Mutation, tmp_path: Path) -> None:
    count = 40
    found = survivors(tmp_path / "net.tflite", mutation, 1, count)
    assert 0 < found < count  # or else the damage is none, or the first check refuses it all


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_much_damage(mutation: Mutation, seed: int, tmp_path: Path) -> None:
    assert 0 < survivors(tmp_path / "net.tflite", mutation, seed, 400) < 400


def test_whole_files_survive(tmp_path: Path) -> None:
    for name, data in whole_files().items():
        (tmp_path / "net.tflite").write_bytes(data)
        assert survives(tmp_path / "net.tflite"), name


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_damage_does_not_fill_the_memory(tmp_path: Path) -> None:
    """In a process with a limit, so that a size that a file claims to have is not believed."""
    for mutation in MUTATIONS:
        for number, data in enumerate(damaged(mutation, 9, MEMORY_TRIED // len(MUTATIONS))):
            (tmp_path / f"{mutation.__name__}{number}.tflite").write_bytes(data)
    here = Path(__file__).parent
    paths = ":".join(str(path) for path in (here.parents[1], here.parent, here))
    done = subprocess.run(
        [sys.executable, str(here / "survival.py"), str(tmp_path)],
        env={"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 < int(done.stdout) < MEMORY_TRIED
