"""Measure what int8 changes in the logits: the first answers, the probabilities, and the noise on each photo.

The signal to noise ratio over all photos does not see what decides an answer: logits that are cut off at the end of
their range become equal, and cost few decibels. So the Kullback-Leibler divergence of the probabilities is measured as
well, and the ratio on the worst photos instead of on all photos together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.quantize.quantized_graph import HIGH, QuantizedGraph

WORST = 5
"""The percentile of the photos that stands for the worst photos."""
SMALLEST = 1e-12


@dataclass(frozen=True)
class LogitErrors:
    """The logits of a network compared with those of the float network on the same photos.

    Attributes:
        n: number of photos.
        agreeing: number of photos on which both have the same highest logit.
        kl: mean Kullback-Leibler divergence of the probabilities from the float network's, nats.
        worst_db: 5th percentile over the photos of the SQNR of a photo's logits, dB.
        saturated: number of photos whose highest logit is the highest that int8 can hold; None for float logits.
    """

    n: int
    agreeing: int
    kl: float
    worst_db: float
    saturated: int | None

    @property
    def cost(self) -> float:
        """What to minimize: the divergence and the noise of the worst photos count alike, both as logarithms."""
        return math.log(self.kl + SMALLEST) - self.worst_db * math.log(10) / 10


@dataclass(frozen=True, eq=False)
class PhotoErrors:
    """The same for each photo, so that photos can be compared a few at a time.

    Attributes:
        agreeing: whether both have the same highest logit, bool [n].
        kl: divergence of the probabilities from the float network's, nats [n].
        db: SQNR of the photo's logits, dB [n].
        saturated: whether the highest logit is the highest that int8 can hold, bool [n]; None for float logits.
    """

    agreeing: NDArray[np.bool_]
    kl: NDArray[np.float64]
    db: NDArray[np.float64]
    saturated: NDArray[np.bool_] | None

    @staticmethod
    def joined(parts: Sequence[PhotoErrors]) -> PhotoErrors:
        """Return the errors of all photos of some parts of the same network, at least one."""
        limited = [part.saturated for part in parts if part.saturated is not None]
        return PhotoErrors(
            agreeing=np.concatenate([part.agreeing for part in parts]),
            kl=np.concatenate([part.kl for part in parts]),
            db=np.concatenate([part.db for part in parts]),
            saturated=np.concatenate(limited) if limited else None,
        )

    def summary(self, chosen: NDArray[np.bool_] | None = None) -> LogitErrors:
        """Return the figures over all photos, or over the chosen ones, bool [n]."""
        some = slice(None) if chosen is None else chosen
        return LogitErrors(
            n=len(self.kl[some]),
            agreeing=int(self.agreeing[some].sum()),
            kl=float(self.kl[some].mean()),
            worst_db=float(np.percentile(self.db[some], WORST)),
            saturated=None if self.saturated is None else int(self.saturated[some].sum()),
        )


def logit_errors(
    given: NDArray[np.float32], real: NDArray[np.float32], highest: float | None = None
) -> LogitErrors:
    """Compare logits with those of the float network; the arguments are those of `photo_errors`."""
    return photo_errors(given, real, highest).summary()


def photo_errors(
    given: NDArray[np.float32], real: NDArray[np.float32], highest: float | None = None
) -> PhotoErrors:
    """Compare the logits of each photo with those of the float network.

    Args:
        given: the logits to judge, float32 [n, N].
        real: the float network's logits of the same photos, float32 [n, N].
        highest: the highest logit that int8 can hold; None for float logits.
    """
    expected, found = _log_probabilities(real), _log_probabilities(given)
    return PhotoErrors(
        agreeing=real.argmax(axis=1) == given.argmax(axis=1),
        kl=(np.exp(expected) * (expected - found)).sum(axis=1),
        db=_photo_db(given, real),
        saturated=None if highest is None else given.max(axis=1) >= highest * (1 - 1e-6),
    )


def highest_logit(quantized: QuantizedGraph) -> float | None:
    """Return the highest logit that the network's int8 output can hold; None if its output is float."""
    encoding = quantized.encodings.get(quantized.graph.output)
    return None if encoding is None else (HIGH - encoding.zero_point) * encoding.scale


def confidence(logits: NDArray[np.float32]) -> float:
    """Return the median over the photos of the best class's probability, 0 to 1."""
    return float(np.median(np.exp(_log_probabilities(logits).max(axis=1))))


def _log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _photo_db(given: NDArray[np.float32], real: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the SQNR of each photo's logits, dB [n]."""
    signal = np.square(real, dtype=np.float64).sum(axis=1)
    noise = np.square(real.astype(np.float64) - given).sum(axis=1)
    return np.asarray(10 * np.log10(np.maximum(signal, SMALLEST) / np.maximum(noise, SMALLEST)))
