"""Measure the error of int8: at the logits, and of every tensor, by running both networks on the same photos.

At the logits these are the first answers, the probabilities, and the noise on each photo. The signal to noise ratio
over all photos does not see what decides an answer: logits that are cut off at the end of their range become equal,
and cost few decibels. So the Kullback-Leibler divergence of the probabilities is measured as well, and the ratio on
the worst photos instead of on all photos together.

Beside its error, each tensor gets a measure of how well its channels use the 256 steps that they share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.quantize.integer import real_logits
from edgenet.quantize.matching import Decode, as_integers, decoder_from_encoding, match_tensors
from edgenet.quantize.quantized_graph import HIGH, LOW, Encoding, QuantizedGraph, dequantize_array
from edgenet.quantize.rotate import mixable

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


@dataclass(frozen=True)
class LayerError:
    """The error of one tensor.

    Attributes:
        node: name of the node that makes the tensor.
        sqnr_db: signal-to-quantization-noise ratio in dB, 10 * log10(sum(x^2) / sum((x - q)^2)). It includes
            the errors of all earlier layers, and is infinite where there is no error.
        range_used: share of the 256 steps that lies between the smallest and the largest value seen; None for
            a tensor that is float in the file.
        saturated: share of values that are clipped: they have the lowest or highest step while the float
            value lies beyond it. None where the channels were matched, and for a float tensor.
        matched: whether each channel's scale and offset were first fitted to the float network's by least
            squares, because the file was equalized and its channels are scaled differently.
        channels: how the channels share the int8 steps; None for a float tensor.
    """

    node: str
    sqnr_db: float
    range_used: float | None
    saturated: float | None
    matched: bool
    channels: ChannelUse | None


@dataclass(frozen=True)
class LayerErrors:
    """The errors of all tensors that were compared.

    Attributes:
        photos: number of photos.
        same_answer: number of photos for which both networks name the same class.
        kl: mean Kullback-Leibler divergence of the file's probabilities from the float network's, nats.
        worst_db: 5th percentile over the photos of the SQNR of a photo's logits, dB.
        saturated: number of photos whose highest logit is the highest that int8 can hold, so that it may be cut off;
            None if the logits are float.
        equalized: whether the file was equalized, so that its channels had to be matched.
        layers: one entry per tensor, in the file's order.
    """

    photos: int
    same_answer: int
    kl: float
    worst_db: float
    saturated: int | None
    equalized: bool
    layers: tuple[LayerError, ...]


def layer_errors(
    quantized: QuantizedGraph,
    reference: Graph,
    images: NDArray[np.uint8],
    decode: Decode | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LayerErrors:
    """Compare every tensor of a quantized graph with the float graph it was made from.

    Args:
        quantized: the graph that runs on the device.
        reference: the lowered float graph; `match_tensors` says how tensors are matched.
        images: uint8 RGB [n, H, W, 3].
        decode: turns photos into the quantized graph's real input values; needed where the graph's own input
            encoding does not say how.

    Raises:
        EdgenetError: the graphs do not match.
    """
    names = match_tensors(quantized.graph, reference)
    sums = {name: _Sums(quantized.graph.shapes[name][-1]) for name in names}
    decode = decode or decoder_from_encoding(quantized.graph)
    parts = []
    for index in range(len(images)):
        image = images[index : index + 1]
        parts.append(_compare_one(quantized, reference, (image, decode(image)), names, sums))
        progress(index + 1, len(images))
    producers = quantized.graph.producers()
    equalized = any(total.rescaled() for total in sums.values())
    matched = {name: equalized and name != quantized.graph.output for name in names}
    # The linear tensors of an equalized file were rotated (see `rotate`); no per-channel scale can undo that.
    rotated = mixable(quantized.graph).tensors if equalized else frozenset()
    layers = tuple(
        _error(producers[name].name, sums[name], matched[name]) for name in names if name not in rotated
    )
    logits = PhotoErrors.joined(parts).summary()
    return LayerErrors(
        logits.n, logits.agreeing, logits.kl, logits.worst_db, logits.saturated, equalized, layers
    )


def _compare_one(
    quantized: QuantizedGraph,
    reference: Graph,
    photo: tuple[NDArray[np.uint8], NDArray[np.float32]],
    names: dict[str, str],
    sums: dict[str, _Sums],
) -> PhotoErrors:
    """Add one photo's values to the sums, and return the errors of its logits.

    `photo` holds the photo twice: as the reference takes it, and decoded for the file.
    """
    wanted = set(names.values())
    real: dict[str, NDArray[np.float32]] = {}

    def keep(name: str, value: Tensor) -> None:
        if name in wanted:
            real[name] = value.numpy()

    def compare(name: str, value: Tensor) -> None:
        if name in names:
            _add(sums[name], quantized.encodings.get(name), value.numpy(), real[names[name]])

    logits = run(reference, photo[0], 1, keep)
    given = real_logits(quantized, as_integers(quantized, photo[1]), compare)
    return photo_errors(given, logits, highest_logit(quantized))


def _add(total: _Sums, encoding: Encoding | None, values: NDArray, real: NDArray[np.float32]) -> None:
    x = real.reshape(-1, real.shape[-1])
    given: NDArray = values.reshape(x.shape)
    if encoding is None or given.dtype != np.int8:
        total.add(x, given)
        return
    total.add(x, dequantize_array(given, encoding))
    total.add_steps(x, given, encoding)


RESCALED_GAIN = 1.4
"""A channel is on another scale if its gain or the inverse of its gain exceeds this."""
RESCALED_CHANNELS = 0.1
"""The file counts as equalized if more than this share of some tensor's channels are on another scale."""


STILL, ALIVE = 1e-5, 1e-3
"""Of the average energy of a tensor's channels: a channel with less than the first is still in the float network, and
one with more than the second is not still in the file."""


class _Sums:
    """Sums over all photos for each channel of one tensor, float64 [C]."""

    def __init__(self, channels: int) -> None:
        # sums of x, q, x * x, q * q, x * q and (x - q)^2, for the float value x and the int8 file's value q
        self.moments = np.zeros((6, channels))
        self.encoding: Encoding | None = None
        self.low = np.full(channels, HIGH, np.int64)
        self.high = np.full(channels, LOW, np.int64)
        self.beyond = self.count = 0

    def add(self, x: NDArray[np.float32], q: NDArray[np.float32]) -> None:
        """Add the float network's values x and the file's values q as real numbers, both [rows, C]."""
        a, b = x.astype(np.float64), q.astype(np.float64)
        self.moments += np.stack([v.sum(0) for v in (a, b, a * a, b * b, a * b, np.square(a - b))])
        self.count += x.size

    def add_steps(self, x: NDArray[np.float32], steps: NDArray[np.int8], encoding: Encoding) -> None:
        """Add the int8 values `steps` that the file has in place of x, both [rows, C]."""
        self.encoding = encoding
        self.low = np.minimum(self.low, steps.min(0))
        self.high = np.maximum(self.high, steps.max(0))
        lowest, highest = dequantize_array(np.array([LOW, HIGH], np.int8), encoding)
        half = encoding.scale / 2
        self.beyond += int(
            ((steps == LOW) & (x < lowest - half) | (steps == HIGH) & (x > highest + half)).sum()
        )

    @property
    def signal(self) -> float:
        """The energy of the float values."""
        return float(self.moments[2].sum())

    def noise(self, matched: bool) -> float:
        """Return the energy of the difference.

        If matched, leave out the part that a scale and an offset per channel explain. Otherwise leave out the copies
        that the file has in the place of channels that do not change (see `idle_channels`).
        """
        if not matched:
            return float(self.moments[5, ~self._copies()].sum())
        energy_x, energy_q, common = self._centred()
        explained = np.divide(common**2, energy_q, out=np.zeros_like(common), where=energy_q > 0)
        return float(np.maximum(energy_x - explained, 0).sum())

    def rescaled(self) -> bool:
        """Whether many channels follow the float channels closely, but on another scale."""
        energy_x, energy_q, common = self._centred()
        alive = (energy_x > 1e-9) & (energy_q > 1e-9)
        if not alive.any():
            return False
        close = common[alive] / np.sqrt(energy_x[alive] * energy_q[alive]) > 0.9
        gain = np.sqrt(energy_q[alive] / energy_x[alive])
        other = (gain > RESCALED_GAIN) | (gain < 1 / RESCALED_GAIN)
        return bool((close & other).mean() > RESCALED_CHANNELS)

    def _copies(self) -> NDArray[np.bool_]:
        """Return which channels are still in the float network and alive in the file: they hold copies of others."""
        energy_x, energy_q, _ = self._centred()
        return (energy_x < STILL * energy_x.mean()) & (energy_q > ALIVE * energy_x.mean())

    def _centred(self) -> tuple[NDArray, NDArray, NDArray]:
        rows = max(self.count / self.moments.shape[1], 1)
        x, q, xx, qq, xq, _ = self.moments
        return xx - x * x / rows, qq - q * q / rows, xq - x * q / rows


def _error(node: str, total: _Sums, matched: bool) -> LayerError:
    encoding = total.encoding
    return LayerError(
        node=node,
        sqnr_db=sqnr_db(total.signal, total.noise(matched)),
        range_used=None if encoding is None else float(total.high.max() - total.low.min() + 1) / 256,
        saturated=None if matched or encoding is None else total.beyond / max(total.count, 1),
        matched=matched,
        channels=None if encoding is None else channel_use(total.low, total.high, encoding.zero_point),
    )


def sqnr_db(signal: float, noise: float) -> float:
    """Return the signal-to-quantization-noise ratio in dB, given the two energies."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


@dataclass(frozen=True)
class ChannelUse:
    """How the channels of one tensor use its int8 steps, measured on some photos.

    A channel's reach is its largest |x|. A tensor has only one scale, so a few channels with a far larger
    reach leave few steps to all others.

    Attributes:
        channels: number of channels.
        dead: number of channels whose int8 value never changes. A channel that changes by less than one step
            in float counts as dead too.
        outliers: number of channels whose reach is over 8 times the median reach of the channels that are not
            dead.
        reach: the largest reach divided by that median reach.
        median_bits: log2 of the number of steps between the smallest and the largest value, for the median
            channel that is not dead. It is 8 where all channels fill the range alike.
    """

    channels: int
    dead: int
    outliers: int
    reach: float
    median_bits: float


OUTLIER = 8.0
"""A channel is an outlier if its reach is more than this many times the median reach."""


def channel_use(low: NDArray[np.int64], high: NDArray[np.int64], zero_point: int) -> ChannelUse:
    """Return the channel use, given the smallest and the largest int8 value of every channel, both [C]."""
    alive = high > low
    if not alive.any():
        return ChannelUse(len(low), len(low), 0, 1.0, 0.0)
    reach = np.maximum(np.abs(low - zero_point), np.abs(high - zero_point))[alive]
    middle = max(float(np.median(reach)), 1.0)
    return ChannelUse(
        channels=len(low),
        dead=int(len(low) - alive.sum()),
        outliers=int((reach > OUTLIER * middle).sum()),
        reach=float(reach.max()) / middle,
        median_bits=math.log2(float(np.median((high - low)[alive])) + 1),
    )
