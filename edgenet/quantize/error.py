"""The error that int8 makes, tensor by tensor: the integer reading beside the float one on the same photos."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.quantize.channels import ChannelUse, channel_use
from edgenet.quantize.encodings import HIGH, LOW, Encoding, QuantizedGraph, dequantize_array
from edgenet.quantize.integer import run_integer
from edgenet.quantize.matching import match_tensors
from edgenet.quantize.photo_input import Decode, as_integers, stated
from edgenet.quantize.rotate import mixable


@dataclass(frozen=True)
class LayerError:
    """One tensor's error.

    Attributes:
        node: the node that makes it.
        sqnr_db: signal to quantization noise, 10 * log10(sum(x^2) / sum((x - q)^2)), dB, with the errors of all
            layers before it; infinite where there is no error at all.
        range_used: share of the 256 steps between the smallest and the largest value seen; None for a tensor that is
            float in the file.
        saturated: share of values at the lowest or highest step where the float value lies beyond it; None where
            the channels were matched, and for a float tensor.
        matched: the file's channels have other scales and offsets than the float network's (it was equalized), so
            each channel's were matched first, by least squares.
        channels: how its channels share the steps; None for a float tensor.
    """

    node: str
    sqnr_db: float
    range_used: float | None
    saturated: float | None
    matched: bool
    channels: ChannelUse | None


@dataclass(frozen=True)
class LayerErrors:
    """The error of every tensor that was compared, in the file's order.

    Attributes:
        photos: on how many photos.
        same_answer: on how many of them both networks name the same class.
        equalized: whether channels had to be matched.
    """

    photos: int
    same_answer: int
    equalized: bool
    layers: tuple[LayerError, ...]


RESCALED_GAIN = 1.4
RESCALED_CHANNELS = 0.1


class _Sums:
    """What is summed over all photos, channel by channel: float64 [C]."""

    def __init__(self, channels: int) -> None:
        # of the float value x and the int8 file's q: sums of x, q, x * x, q * q, x * q, (x - q)^2
        self.moments = np.zeros((6, channels))
        self.encoding: Encoding | None = None
        # the smallest and largest int8 value of every channel
        self.low = np.full(channels, HIGH, np.int64)
        self.high = np.full(channels, LOW, np.int64)
        self.beyond = self.count = 0

    def add(self, x: NDArray[np.float32], q: NDArray[np.float32]) -> None:
        """Adds real values [rows, C]."""
        a, b = x.astype(np.float64), q.astype(np.float64)
        self.moments += np.stack([v.sum(0) for v in (a, b, a * a, b * b, a * b, np.square(a - b))])
        self.count += x.size

    def add_steps(self, x: NDArray[np.float32], steps: NDArray[np.int8], encoding: Encoding) -> None:
        """Adds the int8 values [rows, C] that stand for x."""
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
        """The float values' energy."""
        return float(self.moments[2].sum())

    def noise(self, matched: bool) -> float:
        """The energy of the difference, or of what no scale and offset for each channel can explain."""
        if not matched:
            return float(self.moments[5].sum())
        energy_x, energy_q, common = self._centred()
        explained = np.divide(common**2, energy_q, out=np.zeros_like(common), where=energy_q > 0)
        return float(np.maximum(energy_x - explained, 0).sum())

    def rescaled(self) -> bool:
        """Whether many channels follow the float ones closely, but on another scale."""
        energy_x, energy_q, common = self._centred()
        alive = (energy_x > 1e-9) & (energy_q > 1e-9)
        if not alive.any():
            return False
        close = common[alive] / np.sqrt(energy_x[alive] * energy_q[alive]) > 0.9
        gain = np.sqrt(energy_q[alive] / energy_x[alive])
        other = (gain > RESCALED_GAIN) | (gain < 1 / RESCALED_GAIN)
        return bool((close & other).mean() > RESCALED_CHANNELS)

    def _centred(self) -> tuple[NDArray, NDArray, NDArray]:
        rows = max(self.count / self.moments.shape[1], 1)
        x, q, xx, qq, xq, _ = self.moments
        return xx - x * x / rows, qq - q * q / rows, xq - x * q / rows


def layer_errors(
    quantized: QuantizedGraph,
    reference: Graph,
    images: NDArray[np.uint8],
    decode: Decode | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LayerErrors:
    """Compares every tensor of a quantized graph with the float graph it was made from.

    Args:
        quantized: what runs on the device.
        reference: the float graph, lowered; for how tensors are matched see `match_tensors`.
        images: uint8 RGB [n, H, W, 3].
        decode: what photos are to the quantized graph, where its own input encoding does not say it.

    Raises:
        EdgenetError: the graphs do not match.
    """
    names = match_tensors(quantized.graph, reference)
    sums = {name: _Sums(quantized.graph.shapes[name][-1]) for name in names}
    decode = decode or stated(quantized.graph)
    same = 0
    for index in range(len(images)):
        image = images[index : index + 1]
        same += _compare_one(quantized, reference, (image, decode(image)), names, sums)
        progress(index + 1, len(images))
    producers = quantized.graph.producers()
    equalized = any(total.rescaled() for total in sums.values())
    matched = {name: equalized and name != quantized.graph.output for name in names}
    # linear tensors of an equalized file are on other axes (see `rotate`), which no scale for each channel undoes
    turned = mixable(quantized.graph).tensors if equalized else frozenset()
    layers = tuple(
        _error(producers[name].name, sums[name], matched[name]) for name in names if name not in turned
    )
    return LayerErrors(len(images), same, equalized, layers)


def _compare_one(
    quantized: QuantizedGraph,
    reference: Graph,
    photo: tuple[NDArray[np.uint8], NDArray[np.float32]],
    names: dict[str, str],
    sums: dict[str, _Sums],
) -> bool:
    """Adds one photo, given as the reference takes it and as the file does; returns whether the answer is the same."""
    wanted = set(names.values())
    real: dict[str, NDArray[np.float32]] = {}
    answers = {}

    def keep(name: str, value: Tensor) -> None:
        if name in wanted:
            real[name] = value.numpy()

    def compare(name: str, value: Tensor) -> None:
        if name in names:
            _add(sums[name], quantized.encodings.get(name), value.numpy(), real[names[name]])
        if name == quantized.graph.output:
            answers[name] = int(value.argmax())

    logits = run(reference, photo[0], 1, keep)
    run_integer(quantized, as_integers(quantized, photo[1]), compare)
    return answers[quantized.graph.output] == int(logits.argmax())


def _add(total: _Sums, encoding: Encoding | None, values: NDArray, real: NDArray[np.float32]) -> None:
    x = real.reshape(-1, real.shape[-1])
    given: NDArray = values.reshape(x.shape)
    if encoding is None or given.dtype != np.int8:
        total.add(x, given)
        return
    total.add(x, dequantize_array(given, encoding))
    total.add_steps(x, given, encoding)


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
    """Signal to quantization noise ratio in dB from the two energies."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
