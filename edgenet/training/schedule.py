"""The learning rate of each step and the resolution of each epoch."""

from __future__ import annotations

import math

from edgenet.training.recipe import Recipe

STAGES = ((0.4, 0.5), (0.7, 0.75))
"""(end, scale) pairs: until the share `end` of the epochs, the resolution is multiplied by `scale`; later by 1."""
MULTIPLE_OF = 16
LEAST_RESOLUTION = 32


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    In the frozen epochs it is the highest rate. Afterwards it rises linearly from 0 over `warmup_epochs` and then
    falls to 0 along half a cosine (arXiv 1608.03983, equation 5, without restarts).

    Args:
        recipe: the training recipe.
        step: the step, counted from 0 over the whole training.
        steps: the number of steps in an epoch.
    """
    thawed = step - recipe.freeze_epochs * steps
    if thawed < 0:
        return recipe.learning_rate
    total = (recipe.epochs - recipe.freeze_epochs) * steps
    # A warm-up over more than half of the training would leave too little time at higher rates.
    warmup = min(recipe.warmup_epochs * steps, total / 2)
    if thawed < warmup:
        return recipe.learning_rate * (thawed + 1) / (warmup + 1)
    progress = (thawed - warmup) / max(total - warmup, 1)
    return recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def resolution_in(recipe: Recipe, epoch: int, resolution: int) -> int:
    """Return the side of an epoch's training pictures, pixels.

    Early epochs can use smaller pictures, from which a network learns most of what it needs in less time (progressive
    learning, arXiv 2104.00298, section 4). The smaller sides are multiples of 16 and at least 32.

    Args:
        recipe: the training recipe.
        epoch: the epoch, from 0.
        resolution: the full resolution, pixels; the result is never larger.
    """
    share = next((part for until, part in STAGES if epoch < int(until * recipe.epochs)), 1.0)
    if not recipe.progressive or share == 1:
        return resolution
    smaller = round(share * resolution / MULTIPLE_OF) * MULTIPLE_OF
    return min(max(smaller, LEAST_RESOLUTION), resolution)
