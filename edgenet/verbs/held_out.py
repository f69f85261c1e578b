"""Judges int8 without labels: compares both networks' answers on photos not used for calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.accuracy.intervals import Interval, wilson
from edgenet.data import Loaded, PhotoSet
from edgenet.quantize.error import sqnr_db
from edgenet.quantize.recipes import RECIPES

SPARE = 32
"""Number of photos to judge on, if the folder has that many more than calibration needs."""
ASIDE = 10
"""If the folder has no spare photos, one photo in this many is kept out of calibration to judge on."""
POOR_AGREEMENT, POOR_SQNR = 95.0, 20.0
"""Limits that separate plain minmax (V1 93.5 % and 13.1 dB, V2 93.5 % and 14.3 dB) from the recipes that keep
the accuracy (95.75 % and 21.7 dB or more): measured on 400 ImageNet photos."""
HANDFUL = 20
"""Agreement on fewer photos says little: one photo is more than 5 %."""


@dataclass(frozen=True)
class Division:
    """Which of the readable photos calibrate and which judge, as indices.

    Attributes:
        held_out: whether the judging photos are different from the calibrating photos.
    """

    calibrating: tuple[int, ...]
    judging: tuple[int, ...]
    held_out: bool


@dataclass(frozen=True)
class Fidelity:
    """How close the int8 network's answers are to the float network's, regardless of which answers are right.

    Attributes:
        n: number of photos judged on.
        agreeing: number of photos on which both have the same best class.
        agreement: the same in percent; `agreement_interval` is its 95 % confidence interval.
        sqnr_db: signal to quantization noise ratio of the logits over all photos, dB.
        held_out: whether none of the photos was used for calibration; if False, both figures look too good.
    """

    n: int
    agreeing: int
    agreement: float
    agreement_interval: Interval
    sqnr_db: float
    held_out: bool


def divide(readable: int, wanted: int) -> Division:
    """Divide photos into calibrating and judging ones.

    The photos are in an order that depends only on their contents: first those chosen to calibrate, then the
    spare ones.

    Args:
        readable: number of photos that can be read.
        wanted: number of photos that should calibrate.
    """
    everything = tuple(range(readable))
    if readable > wanted:
        return Division(everything[:wanted], everything[wanted:], held_out=True)
    aside = everything[ASIDE - 1 :: ASIDE]
    if not aside:
        return Division(everything, everything, held_out=False)
    return Division(tuple(i for i in everything if i not in set(aside)), aside, held_out=True)


def rows(images: NDArray[np.uint8], indices: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the photos [n, H, W, 3] at these indices; a view, not a copy, if the indices are consecutive."""
    first, last = indices[0], indices[-1]
    together = indices == tuple(range(first, last + 1))
    return images[first : last + 1] if together else images[list(indices)]


def named(photos: PhotoSet, loaded: Loaded, indices: tuple[int, ...]) -> PhotoSet:
    """Return the photo set of the loaded photos at these indices."""
    place = {name: index for index, name in enumerate(photos.names)}
    return photos.take([place[loaded.names[index]] for index in indices])


def fidelity(given: NDArray[np.float32], real: NDArray[np.float32], held_out: bool) -> Fidelity:
    """Compare the int8 network with the float one.

    Args:
        given: the int8 network's logits, as LiteRT computes them, float32 [n, N].
        real: the float network's logits, float32 [n, N].
        held_out: whether the photos were kept out of calibration.
    """
    agreeing = int((real.argmax(axis=1) == given.argmax(axis=1)).sum())
    n = len(real)
    noise = float(np.square(real - given.astype(np.float64)).sum())
    return Fidelity(
        n=n,
        agreeing=agreeing,
        agreement=100 * agreeing / n,
        agreement_interval=wilson(agreeing, n),
        sqnr_db=sqnr_db(float(np.square(real.astype(np.float64)).sum()), noise),
        held_out=held_out,
    )


def fidelity_warnings(found: Fidelity, recipe: str) -> tuple[str, ...]:
    """Return a warning that says what is poor and what may help, or nothing.

    Agreement counts as poor only if chance does not explain it: the upper end of its interval must be below
    the limit. So one changed answer in ten photos does not cause a warning.
    """
    poor = []
    if found.agreement_interval.high < POOR_AGREEMENT:
        poor.append(f"it agrees with float on only {found.agreeing} of {found.n} photos")
    if not found.sqnr_db >= POOR_SQNR:
        poor.append(
            f"the logits' SQNR is only {found.sqnr_db:.1f} dB (good files have {POOR_SQNR:g} or more)"
        )
    if not poor:
        return ()
    return (
        f"int8 is far from float: {' and '.join(poor)}; try {better_recipe(recipe)}more photos, or photos like those "
        "the camera will see; edgenet inspect --against shows which layers lose accuracy",
    )


def better_recipe(recipe: str) -> str:
    """Return the advice to use a better recipe, ending in ", " for more to follow; "" for the best recipe."""
    if recipe not in RECIPES:
        return "edgenet's own quantizer (leave out --backend), "
    best = list(RECIPES)[-1]  # RECIPES is ordered from the least thorough to the most thorough
    return "" if recipe == best else f"--recipe {best}, "
