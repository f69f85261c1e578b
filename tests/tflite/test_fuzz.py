"""Damaged files through every reader: each ends in a graph that runs, or in one line for the user."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mutations import MUTATIONS

HERE = Path(__file__).parent
QUICK, MANY = 6, 60
"""Damaged files of each kind; `make fuzz`, also a part of .ci/run, tries many more on the same reader."""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")


def survivors(path: Path, seed: int, count: int, *mutations: str) -> dict[str, int]:
    """Return how many damaged files of each mutation were read; the file that fails stays at `path`."""
    done = subprocess.run(
        [sys.executable, str(HERE / "survival.py"), str(path), str(seed), str(count), *mutations],
        env={
            "PYTHONPATH": ":".join(str(folder) for folder in (HERE.parents[1], HERE.parent, HERE)),
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "passive",
        },
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{done.returncode} at {path}: {done.stderr[-2000:]}"
    assert done.stderr == ""
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_damage(tmp_path: Path) -> None:
    found = survivors(tmp_path / "net.tflite", 1, QUICK, *MUTATIONS)
    # or else the damage is none, or the first check refuses it all
    assert 0 < sum(found.values()) < QUICK * len(MUTATIONS)


@pytest.mark.slow
def test_much_damage(tmp_path: Path) -> None:
    found = survivors(tmp_path / "net.tflite", 2, MANY, *MUTATIONS)
    assert set(found) == set(MUTATIONS)
    assert {name: read for name, read in found.items() if not 0 < read < MANY} == {}
