"""`edgenet.select`: a small choice for real, resumed, and a budget that nothing fits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import edgenet
from edgenet.bundle import open_bundle
from edgenet.errors import EdgenetError
from edgenet.training.recipe import Recipe
from edgenet.verbs import select as room
from edgenet.verbs.select import Budget
from edgenet.verbs.sweep_settings import Grid, SweepOptions
from edgenet.verbs.training_settings import TrainingOptions

GRIDS = (Grid("mobilenet_v1", (0.25, 0.1), (64, 32)),)
QUICK = SweepOptions(TrainingOptions(Recipe(epochs=1, batch=8)), "minmax", calm_s=0)


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
        edgenet.select(photos, out, Budget(1e-6), GRIDS, QUICK)
    monkeypatch.setattr(room, "measure_on", None)
    told: list[str] = []
    found = edgenet.select(photos, out, Budget(1000, 5), GRIDS, QUICK, say=told.append)
    assert len(found.candidates) == 4
    assert found.trained[0].variant == "mobilenet_v1_0.25_64"  # the most mult-adds
    assert 1 <= len(found.trained) <= 4
    assert found.best in found.trained
    manifest = open_bundle(found.bundle).manifest
    assert manifest.accuracy is not None
    assert (manifest.accuracy.int8_top1, manifest.accuracy.n) == (found.best.int8_top1, 2)
    assert found.another_point.startswith("one more point: no larger candidate was measured")
    assert "training mobilenet_v1_0.25_64" in told
    monkeypatch.setattr(room, "make_variant", None)
    assert edgenet.select(photos, out, Budget(1000, 5), GRIDS, QUICK) == found


def test_refusals(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="the budget is 0 ms; give more than 0"):
        edgenet.select(photos, tmp_path / "x", Budget(0), GRIDS, QUICK)
    with pytest.raises(EdgenetError, match="the budget is nan MB"):
        edgenet.select(photos, tmp_path / "x", Budget(1, float("nan")), GRIDS, QUICK)
    assert not (tmp_path / "x").exists()
