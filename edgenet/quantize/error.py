"""The error that int8 makes, tensor by tensor: the integer reading beside the float one on the same photos."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.graph.operators import WEIGHTED
from edgenet.quantize.encodings import HIGH, LOW, QuantizedGraph, dequantize_array
from edgenet.quantize.integer import run_integer


@dataclass(frozen=True)
class LayerError:
    """One tensor's error.

    Attributes:
        node: the node that makes it.
        sqnr_db: signal to quantization noise, 10 * log10(sum(x^2) / sum((x - q)^2)), dB, with the errors of all
            layers before it; infinite where there is no error at all.
        range_used: share of the 256 steps between the smallest and the largest value seen.
        saturated: share of values at the lowest or highest step where the float value lies beyond it; None where
            the channels were matched.
        matched: the file's channels have other scales and offsets than the float network's (it was equalized), so
            each channel's were matched first, by least squares.
    """

    node: str
    sqnr_db: float
    range_used: float
    saturated: float | None
    matched: bool


RESCALED_GAIN = 1.4
RESCALED_CHANNELS = 0.1


class _Sums:
    """What is summed over all photos, channel by channel: float64 [C]."""

    def __init__(self, channels: int) -> None:
        # of the float value x and the int8 file's q: sums of x, q, x * x, q * q, x * q, (x - q)^2
        self.moments = np.zeros((6, channels))
        self.low, self.high = HIGH, LOW
        self.beyond = self.count = 0

    def add(self, x: NDArray[np.float64], q: NDArray[np.float64]) -> None:
        """Adds values [rows, C]."""
        self.moments += np.stack([v.sum(0) for v in (x, q, x * x, q * q, x * q, np.square(x - q))])
        self.count += x.size

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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[LayerError, ...]:
    """Compares every tensor of a quantized graph with the float graph it was made from.

    Args:
        quantized: what runs on the device.
        reference: the float graph, lowered; tensors are matched by name, else the weighted layers by order.
        images: uint8 RGB [n, H, W, 3].

    Raises:
        EdgenetError: the graphs do not match.
    """
    names = match_tensors(quantized.graph, reference)
    sums = {name: _Sums(quantized.graph.shapes[name][-1]) for name in names}
    for index, image in enumerate(images):
        _compare_one(quantized, reference, image[None], names, sums)
        progress(index + 1, len(images))
    producers = quantized.graph.producers()
    equalized = any(total.rescaled() for total in sums.values())
    matched = {name: equalized and name != quantized.graph.output for name in names}
    return tuple(_error(producers[name].name, sums[name], matched[name]) for name in names)


def match_tensors(graph: Graph, reference: Graph) -> dict[str, str]:
    """For the tensors of one graph those of the other that stand for the same thing."""
    if graph.size != reference.size:
        raise EdgenetError(
            f"the networks take {graph.size} and {reference.size} pixels", "compare like with like"
        )
    # a tensor whose dead channels were cut out has another shape, and is left out of the comparison
    names = {
        n.output: n.output for n in graph.nodes if graph.shapes[n.output] == reference.shapes.get(n.output)
    }
    if len(names) * 2 > len(graph.nodes):
        return names | {graph.output: reference.output}
    ours, theirs = (
        [n.output for n in g.nodes if isinstance(n.operator, WEIGHTED)] for g in (graph, reference)
    )
    shapes = [graph.shapes[a] == reference.shapes[b] for a, b in zip(ours, theirs, strict=False)]
    if len(ours) != len(theirs) or not all(shapes):
        raise EdgenetError(
            f"the networks differ: {len(ours)} layers with weights in one, {len(theirs)} in the other",
            "give the float network that this file was made from",
        )
    return dict(zip(ours, theirs, strict=True))


def _compare_one(
    quantized: QuantizedGraph,
    reference: Graph,
    image: NDArray[np.uint8],
    names: dict[str, str],
    sums: dict[str, _Sums],
) -> None:
    wanted = set(names.values())
    real: dict[str, NDArray[np.float32]] = {}

    def keep(name: str, value: Tensor) -> None:
        if name in wanted:
            real[name] = value.numpy()

    def compare(name: str, value: Tensor) -> None:
        if name in names:
            _add(sums[name], quantized, name, value.numpy(), real[names[name]])

    run(reference, image, 1, keep)
    run_integer(quantized, image, compare)


def _add(
    total: _Sums, quantized: QuantizedGraph, name: str, values: NDArray[np.int8], real: NDArray[np.float32]
) -> None:
    encoding = quantized.encodings[name]
    lowest, highest = dequantize_array(np.array([LOW, HIGH], np.int8), encoding)
    channels = real.shape[-1]
    given = dequantize_array(values, encoding).astype(np.float64)
    total.add(real.astype(np.float64).reshape(-1, channels), given.reshape(-1, channels))
    total.low, total.high = min(total.low, int(values.min())), max(total.high, int(values.max()))
    half = encoding.scale / 2
    total.beyond += int(
        ((values == LOW) & (real < lowest - half) | (values == HIGH) & (real > highest + half)).sum()
    )


def _error(node: str, total: _Sums, matched: bool) -> LayerError:
    return LayerError(
        node=node,
        sqnr_db=sqnr_db(total.signal, total.noise(matched)),
        range_used=(total.high - total.low + 1) / 256,
        saturated=None if matched else total.beyond / max(total.count, 1),
        matched=matched,
    )


def sqnr_db(signal: float, noise: float) -> float:
    """Signal to quantization noise ratio in dB from the two energies."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
