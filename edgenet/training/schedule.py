"""The learning rate and the resolution at each moment of a training."""

from __future__ import annotations

import math

from edgenet.training.recipe import Recipe

STAGES = ((0.4, 0.5), (0.7, 0.75))
"""Until this share of the epochs, this share of the resolution; then the whole."""
MULTIPLE_OF = 16
LEAST_RESOLUTION = 32


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0 over the whole training.

    While all but the last layer are frozen: the highest rate. Then it rises in a straight line from 0 over
    `warmup_epochs`, and falls to 0 as half a cosine (arXiv 1608.03983, equation 5, without restarts).

    Args:
        steps: in an epoch.
    """
    thawed = step - recipe.freeze_epochs * steps
    if thawed < 0:
        return recipe.learning_rate
    total = (recipe.epochs - recipe.freeze_epochs) * steps
    # A warm-up longer than half of what there is would leave nothing to learn at the full rate.
    warmup = min(recipe.warmup_epochs * steps, total / 2)
    if thawed < warmup:
        return recipe.learning_rate * (thawed + 1) / (warmup + 1)
    progress = (thawed - warmup) / max(total - warmup, 1)
    return recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def resolution_in(recipe: Recipe, epoch: int, resolution: int) -> int:
    """The side of the pictures in an epoch, pixels.

    A network learns most of what it will know from smaller pictures, in less time (progressive learning, arXiv
    2104.00298, section 4). A multiple of 16, at least 32.
    """
    share = next((part for until, part in STAGES if epoch < int(until * recipe.epochs)), 1.0)
    if not recipe.progressive or share == 1:
        return resolution
    smaller = round(share * resolution / MULTIPLE_OF) * MULTIPLE_OF
    return min(max(smaller, LEAST_RESOLUTION), resolution)
