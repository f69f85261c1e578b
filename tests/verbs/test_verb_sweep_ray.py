"""`edgenet sweep --ray` on a real Ray: its results, and its errors when Ray cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from recipe_options import options_from

import edgenet
from edgenet.errors import EdgenetError
from edgenet.progress import silent
from edgenet.training.recipe import Recipe
from edgenet.training.state import STATE_FILE
from edgenet.workflows.sweep_plan import TRAINED_FILE, Grid, SweepOptions, read_trained
from edgenet.workflows.sweep_training import _make, _share, read_photo_split

pytest.importorskip("ray", reason="the extra ray is not installed: pip install 'edgenet[ray]'")

pytestmark = pytest.mark.usefixtures("briefly_timed")

GRID = Grid("mobilenet_v1", (0.1, 0.25), (32,))
QUICK = SweepOptions(options_from(Recipe(epochs=1, batch=8)), "minmax", settle=0)


def asked(**changes: Any) -> dict[str, Any]:
    """The grid and the options as arguments of `edgenet.sweep`."""
    return {**vars(GRID), **vars(replace(QUICK, **changes))}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders dark and light, 10 photos each."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir(parents=True)
        for number in range(10):
            noise = np.random.default_rng([level, number]).integers(-30, 30, (32, 32, 3))
            cv2.imwrite(str(root / name / f"{number}.png"), (level + noise).astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray that was started as a user starts one, with room for one training."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ray = Path(sys.executable).with_name("ray")
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    start = [
        "start",
        "--head",
        "--node-ip-address=127.0.0.1",
        f"--port={address.split(':')[1]}",
        "--num-cpus=1",
    ]
    start += ["--include-dashboard=false", "--disable-usage-stats", "--object-store-memory=100000000"]
    start += ["--include-log-monitor=false", "--no-monitor"]  # neither logs nor more machines are asked for
    subprocess.run([ray, *start], env=environment, check=True, capture_output=True)
    try:
        yield address
    finally:
        subprocess.run([ray, "stop", "--force"], check=True, capture_output=True)


@pytest.mark.slow
def test_variants_come_back_and_are_timed_here(cluster: str, photos: Path, tmp_path: Path) -> None:
    out, lines = tmp_path / "grid", []
    result = edgenet.sweep(photos, out, **asked(ray=cluster), log=lines.append)
    assert [row.variant for row in result.rows] == ["mobilenet_v1_0.1_32", "mobilenet_v1_0.25_32"]
    assert any(line.startswith("mobilenet_v1_0.25_32: epoch 1/1") for line in lines)
    for row in result.rows:
        folder = out / row.variant
        assert row.latency_p50_ms > 0
        made = json.loads((folder / TRAINED_FILE).read_text())
        assert made["bytes"] == row.bytes == (folder / f"{row.variant}.tflite").stat().st_size
        assert (folder / "training" / f"{row.variant}.safetensors").is_file()
        assert not (folder / "training" / STATE_FILE).exists()
    # Again without Ray: all is there, so nothing is trained.
    again: list[str] = []
    assert edgenet.sweep(photos, out, **asked(), log=again.append) == result
    assert [line[:5] for line in again if line.startswith("[")] == ["[1/2]", "[2/2]"]


@pytest.mark.slow
def test_what_a_machine_finds_comes_back_as_one_line(
    cluster: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgenet.workflows import sweep as workflow

    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    told = workflow.make_on_ray

    def after_a_change(*given: object) -> None:
        (data / "dark" / "0.png").unlink()  # as on a machine with another copy
        told(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(workflow, "make_on_ray", after_a_change)
    with pytest.raises(
        EdgenetError,
        match=r"mobilenet_v1_0\.\d+_32 on Ray: .*photos holds other photos on a machine .*; copy the",
    ):
        edgenet.sweep(data, tmp_path / "grid", **asked(ray=cluster))
    assert read_trained(tmp_path / "grid" / "mobilenet_v1_0.1_32") is None


def test_a_training_does_not_wait_until_its_lines_have_arrived(photos: Path) -> None:
    """While a task waits, Ray gives its CPUs to another one, so that two would train on them."""
    said: list[str] = []

    def remote(line: str) -> int:
        said.append(line)
        return len(said)

    queue = SimpleNamespace(actor=SimpleNamespace(put_nowait=SimpleNamespace(remote=remote)))
    variant = GRID.variants()[0]
    digest = read_photo_split(variant, photos, QUICK, silent).digest
    files, last = _make(variant, str(photos), QUICK, digest, version("edgenet"), queue)
    assert {TRAINED_FILE, "mobilenet_v1_0.1_32.tflite"} <= set(files)
    assert said[-1].startswith("mobilenet_v1_0.1_32: epoch 1/1")
    assert last == [len(said)]


def test_no_ray_there(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        EdgenetError, match=r"cannot reach Ray at 127\.0\.0\.1:1 .*; start one with `ray start --head`"
    ):
        edgenet.sweep(photos, tmp_path / "grid", **asked(ray="127.0.0.1:1"))


def test_every_machine_can_train_one() -> None:
    def node(alive: bool = True, **resources: float) -> dict[str, object]:
        return {"Alive": alive, "Resources": resources}

    assert _share([node(CPU=16), node(CPU=2)], "auto") == (2, 0)
    assert _share([node(CPU=16), node(CPU=0), node(alive=False, CPU=1)], "auto") == (4, 0)
    assert _share([node(CPU=16, GPU=1)], "auto") == (4, 1)
    assert _share([node(CPU=16, GPU=1)], "cpu") == (4, 0)
    with pytest.raises(EdgenetError, match="has a CPU to train on"):
        _share([node(GPU=1)], "auto")
