"""Training options with every number of a recipe, for tests that state a whole recipe."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgenet.training.recipe import Recipe
from edgenet.workflows.train import TrainingOptions


def options_from(numbers_of: Recipe, /, **more: Any) -> TrainingOptions:
    """Return the options with which `train` uses exactly this recipe."""
    numbers = asdict(numbers_of)
    augmentation = numbers.pop("augmentation")
    flip = augmentation.pop("flip")
    return TrainingOptions(**numbers, **augmentation, no_flip=not flip, **more)
