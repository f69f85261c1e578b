"""A network that is ready to score photos, and the errors of its logits against another network's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.quantize.logit_errors import PhotoErrors, photo_errors


@dataclass(frozen=True)
class Scorer:
    """A network ready to score photos.

    Attributes:
        model: the model as the user named it.
        precision: "int8", "float32", or another one of `Program.precision`.
        runtime: name (and for LiteRT the version) of the runtime that runs it.
        size: height and width of its input picture, pixels.
        labels: class names, one per output.
        score: turns uint8 RGB [n, height, width, 3] into scores or logits, float32 [n, N].
        logits: turns it into logits, float32 [n, N]; None if the network gives only scores.
        highest: the highest logit that int8 can hold; None for float logits.
    """

    model: str
    precision: str
    runtime: str
    size: tuple[int, int]
    labels: tuple[str, ...]
    score: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
    highest: float | None = None


def errors_against_first(
    scorers: Sequence[Scorer],
    scores: Sequence[NDArray[np.float32]],
    images: Sequence[NDArray[np.uint8]],
) -> Iterator[list[PhotoErrors]]:
    """Yield for each network the errors of its logits against the first network's, in a list.

    The list is empty for the first network, for other classes or another order of them, and without logits.

    Args:
        scorers: the networks.
        scores: what each network's `score` gave for the photos.
        images: the photos in each network's size, uint8 RGB [n, height, width, 3].
    """

    def logits(place: int) -> NDArray[np.float32]:
        scorer = scorers[place]
        assert scorer.logits is not None
        return scores[place] if scorer.logits is scorer.score else scorer.logits(images[place])

    first = scorers[0]
    given = len(scores[0]) > 0 and first.logits is not None
    compared = [given and one.logits is not None and one.labels == first.labels for one in scorers]
    real = logits(0) if any(compared[1:]) else None
    yield []
    for place, scorer in enumerate(scorers[1:], start=1):
        yield (
            [photo_errors(logits(place), real, scorer.highest)]
            if real is not None and compared[place]
            else []
        )
