"""`edgenet.select`: a small choice for real, resumed, and a budget that nothing fits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgenet
from edgenet.bundle import open_bundle
from edgenet.errors import EdgenetError
from edgenet.latency.reading import read_file
from edgenet.workflows import select as workflow
from edgenet.workflows.select import Selection
from edgenet.workflows.sweep_plan import LATENCY_FILE
from edgenet.workflows.train import TrainingOptions

pytestmark = pytest.mark.usefixtures("briefly_timed")

QUICK: dict[str, Any] = {
    "training": TrainingOptions(epochs=1, batch=8),
    "recipe": "minmax",
    "settle": 0,
    "widths": (0.1,),
    "resolutions": (32, 64),
}
ONE: dict[str, Any] = {
    **QUICK,
    "training": TrainingOptions(epochs=1, batch=8, hold_out=0.5),
    "widths": (0.25,),
    "resolutions": (32,),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders dark and light, 12 photos each."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir(parents=True)
        for number in range(12):
            noise = np.random.default_rng([level, number]).integers(-30, 30, (32, 32, 3))
            cv2.imwrite(str(root / name / f"{number}.png"), (level + noise).astype(np.uint8))
    return root


@pytest.mark.slow
def test_a_choice_and_again(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First nothing fits; then all do, and nothing is measured again; then nothing is trained again either."""
    out = tmp_path / "chosen"
    with pytest.raises(EdgenetError, match=r"no candidate fits 1e-06 ms: the fastest, mobilenet_v1_"):
        edgenet.select(photos, out, budget_ms=1e-6, **QUICK)
    lines: list[str] = []
    found = edgenet.select(photos, out, budget_ms=1000, budget_mb=5, **QUICK, log=lines.append)
    assert len(found.candidates) == 2
    assert found.trained[0].variant == "mobilenet_v1_0.1_64"  # the most mult-adds
    assert 1 <= len(found.trained) <= 2
    assert found.best in found.trained
    # One photo of each class is held out: too few for one half to choose and the other to report, and it says so.
    manifest = open_bundle(found.bundle).manifest
    assert manifest.accuracy is not None
    assert (manifest.accuracy.int8_top1, manifest.accuracy.n) == (found.best.int8_top1, 2)
    assert manifest.accuracy.data == "photos held out, which also chose the network"
    assert found.reported.chose
    assert found.another_point.startswith("one more point: no larger candidate was measured")
    assert "training mobilenet_v1_0.1_64" in lines
    # All untrained ones were measured by the first call; the best is measured once more, as it was trained.
    assert [line for line in lines if line.startswith("measuring")] == [
        f"measuring {found.best.variant} again, trained"
    ]
    (trained,) = read_file(out / found.best.variant / LATENCY_FILE)
    assert (found.candidate.p50_ms, found.candidate.bytes) == (trained.p50_ms, found.best.bytes)
    monkeypatch.setattr(workflow, "measure_on", None)
    monkeypatch.setattr(workflow, "make_variant", None)
    assert edgenet.select(photos, out, budget_ms=1000, budget_mb=5, **QUICK) == found


@pytest.fixture(scope="module")
def chosen(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Selection]:
    """A folder in which the only candidate was chosen, and the result; not to be changed."""
    out = tmp_path_factory.mktemp("one") / "chosen"
    return out, edgenet.select(photos, out, budget_ms=1000, **ONE)


@pytest.mark.slow
def test_other_photos_report_than_choose(photos: Path, chosen: tuple[Path, Selection]) -> None:
    out, found = chosen
    assert (found.best.n, found.reported.n, found.reported.chose) == (6, 6, False)
    manifest = open_bundle(found.bundle).manifest
    assert manifest.accuracy is not None
    assert (manifest.accuracy.int8_top1, manifest.accuracy.n) == (found.reported.int8_top1, 6)
    assert manifest.accuracy.data == "photos held out"
    model = json.loads((out / found.best.variant / LATENCY_FILE).read_text())["model"]
    assert model["accuracy"]["int8_top1"] == found.reported.int8_top1
    assert edgenet.select(photos, out, budget_ms=1000, **ONE) == found


@pytest.mark.slow
def test_the_best_no_longer_fits_once_it_is_trained(
    photos: Path, chosen: tuple[Path, Selection], tmp_path: Path
) -> None:
    """Between the sizes untrained and trained: the file grew, as when quantization doubles channels."""
    found = chosen[1]
    out = Path(shutil.copytree(chosen[0], tmp_path / "chosen"))
    report = out / found.best.variant / LATENCY_FILE
    (grown,) = json.loads(f"[{report.read_text()}]")
    grown["model"]["size_bytes"] += 50_000
    report.write_text(json.dumps(grown))
    lines: list[str] = []
    budget_mb = (found.best.bytes + 25_000) / 1e6
    with pytest.raises(
        EdgenetError, match=r"none of the 1 trained networks still fits 1000 ms and 0\.\d+ MB"
    ):
        edgenet.select(photos, out, budget_ms=1000, budget_mb=budget_mb, **ONE, log=lines.append)
    assert lines[-1].startswith(f"{found.best.variant} no longer fits, trained: p50 ")


def test_refusals(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="the budget is 0 ms; give more than 0"):
        edgenet.select(photos, tmp_path / "x", budget_ms=0, **QUICK)
    with pytest.raises(EdgenetError, match="the budget is nan MB"):
        edgenet.select(photos, tmp_path / "x", budget_ms=1, budget_mb=float("nan"), **QUICK)
    assert not (tmp_path / "x").exists()
