"""The output "nothing I know" of a fine-tuned network, whose own photos look more known to it than any new one.

No photo of the user is new to the final network, so its threshold cannot be read off their margins. The networks of the
folds say where it lies: for each of them, the margins of the photos that it was trained with, of those that were held
out, and of photos of other things are known. On the scale on which the mean of the other things is 0 and the mean of
the photos trained with is 1, the held-out photos of all folds give one threshold, and that place on the scale is taken
over to the final network. Fresh photos, of another day or place, need room below it, which they get where photos of
edgenet's own are far away: see `lowered`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.teaching.head import LinearHead
from edgenet.teaching.unknown import (
    JudgedPhotos,
    Unknown,
    auroc,
    dealt,
    fit_row,
    fit_temperature,
    lowered,
    threshold,
    with_row,
)


@dataclass(frozen=True)
class SeenByNetwork:
    """Photos by one network's features and its logits.

    Attributes:
        trained: photos of the user that it was trained with.
        held_out: photos of the user that it was not trained with; none for the final network.
        others: photos of other things.
        more: further photos of other things, which help to fit and count in no figure.
        labels: the class index of each held-out photo, int64 [n].
    """

    trained: JudgedPhotos
    held_out: JudgedPhotos
    others: JudgedPhotos
    more: JudgedPhotos
    labels: NDArray[np.int64]

    def cooled(self, temperature: float) -> SeenByNetwork:
        """Return the same with all logits divided by the temperature."""
        trained, held_out, others, more = (
            JudgedPhotos(part.values, part.logits / np.float32(temperature))
            for part in (self.trained, self.held_out, self.others, self.more)
        )
        return SeenByNetwork(trained, held_out, others, more, self.labels)


def calibrate_after_tuning(
    head: LinearHead,
    folds: Sequence[SeenByNetwork],
    final: SeenByNetwork,
    keep: float,
    *,
    users_own: bool = True,
) -> Unknown:
    """Add the output "nothing I know" to the head of a fine-tuned network.

    Args:
        head: the final network's head.
        folds: what the network of each fold makes of the photos; each fold's `others` are the same photos in the same
            order.
        final: what the final network makes of them.
        keep: the share of new photos of the user that shall stay known, above 0 and below 1.
        users_own: whether the photos of `others` are the user's. If they are edgenet's own, the threshold is lowered
            if hardly any of them comes near it, so that more than `keep` stay known.
    """
    logits = np.concatenate([one.held_out.logits for one in folds])
    temperature = fit_temperature(logits, np.concatenate([one.labels for one in folds]))
    scaled = LinearHead(head.weight / temperature, head.bias / temperature)
    places = [_places(one.cooled(temperature), fold, len(folds)) for fold, one in enumerate(folds)]
    known, other = (np.concatenate([pair[side] for pair in places]) for side in (0, 1))

    def limit(own: NDArray[np.float64], strange: NDArray[np.float64]) -> float:
        place = threshold(own, keep)
        return place if users_own else lowered(place, strange)

    place = limit(known, other)
    # Each fold is judged by the place that the other folds give.
    kept, alarms = [], []
    for fold, (own, strange) in enumerate(places):
        rest = [pair for number, pair in enumerate(places) if number != fold]
        by_rest = limit(*map(np.concatenate, zip(*rest, strict=True))) if rest else place
        kept.append(own >= by_rest)
        alarms.append(strange >= by_rest)
    weight, bias, low, high = _scale(final.cooled(temperature))
    judged = len(other) if len(other) > 1 else 0
    return Unknown(
        head=with_row(scaled, weight, bias + low + place * (high - low)),
        temperature=temperature,
        kept=float(np.concatenate(kept).mean()),
        auroc=auroc(known, other) if judged else None,
        false_alarms=float(np.concatenate(alarms).mean()) if judged else None,
        judged=judged,
    )


def _scale(seen: SeenByNetwork) -> tuple[NDArray[np.float64], float, float, float]:
    """Return the row's weight and bias, and the mean margins of other things and of the photos trained with."""
    others = seen.others.joined(seen.more)
    weight, bias = fit_row(seen.trained, others)
    if not len(others.values):
        # Nothing else is known of other things than that all classes are alike to them.
        classes = seen.trained.logits.shape[1]
        return weight, bias, float(np.log(classes)) - bias, float(seen.trained.margins(weight, bias).mean())
    return (
        weight,
        bias,
        float(others.margins(weight, bias).mean()),
        float(seen.trained.margins(weight, bias).mean()),
    )


def _places(seen: SeenByNetwork, fold: int, folds: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the places of the held-out photos on the network's scale, and those of this fold's share of the others.

    The others that are judged in this fold have no part in its row and its scale.
    """
    out = dealt(len(seen.others.values), folds) == fold
    rest = SeenByNetwork(seen.trained, seen.held_out, seen.others.take(~out), seen.more, seen.labels)
    weight, bias, low, high = _scale(rest)
    width = max(high - low, 1e-6)
    return (
        (seen.held_out.margins(weight, bias) - low) / width,
        (seen.others.take(out).margins(weight, bias) - low) / width,
    )
