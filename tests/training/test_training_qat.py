"""Quantization-aware training: the trained network is what the file computes, and it learns."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from recipe_options import options_from
from shape_photos import TINY

from edgenet.errors import EdgenetError
from edgenet.training.qat import QatPlan
from edgenet.training.recipe import Recipe
from edgenet.workflows.train import QUANTIZATION_AWARE, TrainingOptions, resume_training, train

QUICK = dataclasses.replace(QUANTIZATION_AWARE, epochs=1, batch=24)
FAST: dict[str, Any] = {"qat": True, "recipe": "fast"}


@pytest.fixture(scope="module")
def checkpoint(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network that was trained for one epoch."""
    result = train(
        TINY,
        shapes,
        tmp_path_factory.mktemp("float") / "run",
        options=options_from(Recipe(epochs=1, batch=24)),
    )
    assert result is not None
    return result.out


@pytest.mark.slow
def test_the_file_is_the_trained_network(checkpoint: str, shapes: Path, tmp_path: Path) -> None:
    options = options_from(QUICK, pretrained=checkpoint, **FAST)
    result = train(None, shapes, tmp_path / "run", options=options)
    assert result is not None
    found = result.int8
    assert found is not None
    assert (result.variant, found.sameness.n) == (TINY, result.n)
    assert (found.sameness.same_answer, found.sameness.largest_steps) == (result.n, 0)
    assert [row.precision for row in found.evaluation.models] == ["float32", "int8", "int8"]
    assert found.evaluation.models[2].top1 == pytest.approx(result.top1)
    trained = Path(result.out).read_bytes()
    assert trained != Path(found.start).read_bytes()
    assert resume_training(tmp_path / "run") is not None
    assert Path(result.out).read_bytes() == trained


def test_a_mismatch_is_refused(checkpoint: str, shapes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(EdgenetError, match="give its checkpoint with --pretrained"):
        train(None, shapes, run, options=TrainingOptions(**FAST))
    with pytest.raises(EdgenetError, match="is not a checkpoint, so its weights cannot be trained"):
        train(None, shapes, run, options=TrainingOptions(**FAST, pretrained="some.tflite"))
    for change in ({"progressive": True}, {"weight_decay": 1e-4}, {"precision": "bfloat16"}):
        recipe = dataclasses.replace(QUICK, **change)
        with pytest.raises(EdgenetError, match="does not go with --qat"):
            options_from(recipe, pretrained=checkpoint, **FAST)
    with pytest.raises(EdgenetError, match="there is no recipe 'finest'"):
        QatPlan("finest")


def test_other_classes_are_refused(checkpoint: str, shapes: Path, tmp_path: Path) -> None:
    for name in ("blue", "violet"):
        shutil.copytree(shapes / "blue", tmp_path / "two" / name)
    with pytest.raises(EdgenetError, match=r"knows 3 classes, but not violet; --qat only refines"):
        train(
            None, tmp_path / "two", tmp_path / "run", options=TrainingOptions(pretrained=checkpoint, **FAST)
        )
