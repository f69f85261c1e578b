"""The page chooses its answer as the live camera does: the same scores go through both."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.live.loop import Smoother, SteadyAnswer

SEEING = resources.files("edgenet.web").joinpath("assets/seeing.js")
PROGRAM = """
import { readFileSync } from "node:fs";
import { NOTHING_KNOWN, Smoother, SteadyAnswer } from "./seeing.mjs";
const { labels, threshold, smooth, rows, times } = JSON.parse(readFileSync(0));
const smoother = new Smoother(smooth), steady = new SteadyAnswer(labels, threshold, smooth);
const seen = rows.map((row, i) => steady.update(smoother.update(row, times[i]), times[i]));
console.log(JSON.stringify({ seen, known: NOTHING_KNOWN }));
"""


@pytest.mark.parametrize("smooth", [0, 0.25])
@pytest.mark.parametrize("own_output", [False, True])
def test_the_page_and_the_camera_give_the_same_answers(
    smooth: float, own_output: bool, tmp_path: Path
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the page's code without a browser")
    labels = ["a", "b", "c", NOTHING_KNOWN if own_output else "d"]
    generator = np.random.default_rng(1)
    drift = np.cumsum(generator.standard_normal((400, 4)), axis=0) / 4
    rows = np.exp(drift - drift.max(axis=1, keepdims=True))
    rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    times = 1.0 + np.cumsum(generator.integers(1, 5, 400)) / 32  # exact in binary: no rounding may decide
    smoother, steady = Smoother(smooth), SteadyAnswer(labels, 0.4, smooth)
    expected = []
    for row, seconds in zip(rows, times, strict=True):
        time_ns = int(seconds * 1e9)
        expected.append(steady.update(smoother.update(row, time_ns), time_ns))
    (tmp_path / "seeing.mjs").write_text(SEEING.read_text())
    (tmp_path / "program.mjs").write_text(PROGRAM)
    task = {
        "labels": labels,
        "threshold": 0.4,
        "smooth": smooth,
        "rows": rows.tolist(),
        "times": times.tolist(),
    }
    done = subprocess.run(
        [node, "program.mjs"],
        cwd=tmp_path,
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["seen"] == expected
    assert found["known"] == NOTHING_KNOWN
    assert len(set(expected)) == (
        4 if own_output else 5
    )  # each class and nothing: the sequence tries everything
