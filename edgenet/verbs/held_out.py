"""Judging int8 without labels: both networks on photos that did not calibrate, and how close their answers are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.accuracy.intervals import Interval, wilson
from edgenet.data import Loaded, PhotoSet
from edgenet.quantize.error import sqnr_db
from edgenet.quantize.recipes import RECIPES

SPARE = 32
"""Photos to judge on, where the folder has so many more than those that calibrate."""
ASIDE = 10
"""Otherwise one photo in so many is kept from calibrating."""
POOR_AGREEMENT, POOR_SQNR = 95.0, 20.0
"""What separates plain minmax (V1 93.5 % and 13.1 dB, V2 93.5 % and 14.3 dB) from the recipes that keep the accuracy
(95.75 % and 21.7 dB or more): measured on 400 ImageNet photos."""
HANDFUL = 20
"""Agreement on fewer photos says little: one photo is more than 5 %."""


@dataclass(frozen=True)
class Division:
    """Which of the readable photos do what, as indices.

    Attributes:
        held_out: whether those that judge are others than those that calibrate.
    """

    calibrating: tuple[int, ...]
    judging: tuple[int, ...]
    held_out: bool


@dataclass(frozen=True)
class Fidelity:
    """How close the int8 network comes to the float one, whatever the right answers are.

    Attributes:
        n: photos judged on.
        agreeing: those on which both have the same best class.
        agreement: the same in percent, and its 95 % interval.
        sqnr_db: signal to quantization noise of the logits over all photos, dB.
        held_out: whether none of the photos calibrated; where they did, both figures flatter.
    """

    n: int
    agreeing: int
    agreement: float
    agreement_interval: Interval
    sqnr_db: float
    held_out: bool


def divide(readable: int, wanted: int) -> Division:
    """Divides photos that are in an order which only their contents decide, the chosen ones before the spare ones.

    Args:
        readable: how many can be read.
        wanted: how many should calibrate.
    """
    everything = tuple(range(readable))
    if readable > wanted:
        return Division(everything[:wanted], everything[wanted:], held_out=True)
    aside = everything[ASIDE - 1 :: ASIDE]
    if not aside:
        return Division(everything, everything, held_out=False)
    return Division(tuple(i for i in everything if i not in set(aside)), aside, held_out=True)


def rows(images: NDArray[np.uint8], indices: tuple[int, ...]) -> NDArray[np.uint8]:
    """Those of the photos [n, H, W, 3]; no copy where they stand together, as the chosen and the spare ones do."""
    first, last = indices[0], indices[-1]
    together = indices == tuple(range(first, last + 1))
    return images[first : last + 1] if together else images[list(indices)]


def named(photos: PhotoSet, loaded: Loaded, indices: tuple[int, ...]) -> PhotoSet:
    """The photos that stand at these places of what was loaded."""
    place = {name: index for index, name in enumerate(photos.names)}
    return photos.take([place[loaded.names[index]] for index in indices])


def fidelity(given: NDArray[np.float32], real: NDArray[np.float32], held_out: bool) -> Fidelity:
    """Compares the int8 network with the float one.

    Args:
        given: the int8 network's logits [n, N], as LiteRT computes them.
        real: the float network's.
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
    """What is poor, and what may help. Agreement counts as poor only where chance does not explain it: where the
    upper end of its interval is below the limit, so that one changed photo in ten raises no alarm."""
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
        f"int8 is far from float: {' and '.join(poor)}; try {better_recipe(recipe)}more photos, photos like those "
        "the camera will see; edgenet inspect --against shows the layer where it is lost",
    )


def better_recipe(recipe: str) -> str:
    """The recipe that does most, as an advice before others; nothing where it is the one that was used."""
    if recipe not in RECIPES:
        return "edgenet's own quantizer (leave out --backend), "
    best = list(RECIPES)[-1]  # they stand in the order of what they do
    return "" if recipe == best else f"--recipe {best}, "
