"""Out of memory. The shortage is a mock: an error raised in the network's place, as torch raises it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from recipe_options import options_from
from shape_photos import TINY
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.training.loop import is_out_of_memory, out_of_memory
from edgenet.training.recipe import Recipe
from edgenet.workflows.train import train
from edgenet.zoo.classifier import Classifier

ON_A_CPU = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(ON_A_CPU), MemoryError()]
)
def test_a_batch_that_fits_is_found_and_named(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    forward = Classifier.forward

    def short_of_memory(self: Classifier, x: Tensor) -> Tensor:
        if len(x) > 7 and self.training:
            raise error
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", short_of_memory)
    with pytest.raises(
        EdgenetError, match=r"not enough memory for a batch of 27; give --batch 6, which fits"
    ):
        train(TINY, shapes, tmp_path / "run", options=options_from(Recipe(batch=27)))


def test_nothing_fits() -> None:
    error = out_of_memory(64, 2, lambda photos: False)
    assert str(error).startswith(
        "there is not enough memory for a batch of 64, nor for one of 2; choose a variant"
    )


def test_other_errors_are_not_taken_for_it() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("not enough memory of it"))
