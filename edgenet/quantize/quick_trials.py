"""Try a reshaped network quickly: layers rounded to nearest with corrected biases, ranges from what is already known.

Reshaping changes every tensor of the float network in a known way, so what was seen of the original network tells what
the reshaped one gives; its photos need not go through every candidate again. Only the integers that the device computes
(almost always, see `_quantize_layer`) are carried along, and each layer's sums of products are computed once: they give
the bias, and then the layer's output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import free_after, last_uses, tensor_of
from edgenet.graph.ir import WEIGHTED, FullyConnected, Graph, Node, Weighted
from edgenet.progress import Progress, silent
from edgenet.quantize.calibrate_layers import solve_bias
from edgenet.quantize.carried_photos import CHUNK, run_as_device
from edgenet.quantize.equalize import ChannelChange
from edgenet.quantize.integer import TensorStore, bounds, multiplier, pixels_to_int8, products
from edgenet.quantize.quantized_graph import (
    Encoding,
    QuantizedGraph,
    QuantizedWeights,
    finished,
    float_nodes,
)
from edgenet.quantize.ranges import ChannelStatistics, Range, ranges_of
from edgenet.quantize.rotate import JointStatistics
from edgenet.quantize.rounding import FEWER_SHRINKING, least_squares_scales, quantize_bias, round_nearest

ROWS = 3_000
"""About the number of positions, over all photos, at which a tensor is sampled."""


def sampled(value: Tensor, photos: int) -> Tensor:
    """Return a tensor's values at evenly spread positions, [rows, C].

    Args:
        value: the tensor for some photos, [n, ..., C].
        photos: the number of photos that give about ROWS positions together.
    """
    if value.ndim != 4:
        return value.reshape(-1, value.shape[-1])
    height, width = value.shape[1:3]
    share = max(1.0, photos * height * width / ROWS)
    down = min(height, max(1, round(math.sqrt(share))))
    right = min(width, max(1, round(share / down)))
    return value[:, ::down, ::right].reshape(-1, value.shape[-1])


class SampledMeans:
    """The mean of every tensor's channels over the first photos, at the positions of `sampled`."""

    def __init__(self, photos: int) -> None:
        self.photos = photos
        self._done: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._totals: dict[str, Tensor] = {}

    def observe(self, name: str, value: Tensor) -> None:
        """Add a tensor's value for more photos, [n, ..., C]."""
        done = self._done.get(name, 0)
        self._done[name] = done + len(value)
        if done >= self.photos:
            return
        rows = sampled(value[: self.photos - done], self.photos)
        total = rows.sum(0, dtype=torch.float64)
        self._totals[name] = self._totals[name] + total if name in self._totals else total
        self._rows[name] = self._rows.get(name, 0) + len(rows)

    def means(self) -> dict[str, NDArray[np.float64]]:
        """Return the means by tensor name, [C]."""
        return {name: (total / self._rows[name]).numpy() for name, total in self._totals.items()}


@dataclass(frozen=True, eq=False)
class KnownTensors:
    """What some photos show of the original network, and how its tensors were changed since.

    Attributes:
        statistics: of every tensor of the original network.
        joint: the rows that lie furthest out, of the tensors that can be mixed.
        sampled_means: see `SampledMeans`, of the original network.
        changes: by tensor name.
    """

    statistics: Mapping[str, ChannelStatistics]
    joint: JointStatistics
    sampled_means: Mapping[str, NDArray[np.float64]]
    changes: Mapping[str, ChannelChange] = field(default_factory=dict)

    def means(self) -> dict[str, NDArray[np.float64]]:
        """Return the sampled means after the changes, by tensor name, [C]."""
        changes = self.changes
        return {
            name: changes[name].apply(mean) if name in changes else mean
            for name, mean in self.sampled_means.items()
        }

    def ranges(self, graph: Graph) -> dict[str, Range]:
        """Return the range of every tensor after the changes; that of a rotated tensor is that of its furthest rows."""
        ranges = ranges_of(graph, dict(self.statistics))
        for name, change in self.changes.items():
            seen = self.statistics[name]
            ends = np.stack([seen.low, seen.high])
            mixed = change.factors.ndim == 2
            values = change.apply(self.joint.kept_rows(name).astype(np.float64) if mixed else ends)
            ranges[name] = Range(float(values.min()), float(values.max()))
        return ranges


def changed_statistics(
    original: Mapping[str, ChannelStatistics], changes: Mapping[str, ChannelChange]
) -> dict[str, ChannelStatistics]:
    """Return the statistics after the changes, by tensor name, without the tensors whose channels were mixed."""
    found = dict(original)
    for name, change in changes.items():
        seen = found.pop(name)
        if change.factors.ndim == 1:
            low, high, mean = (change.apply(each) for each in (seen.low, seen.high, seen.mean))
            found[name] = ChannelStatistics(low, high, mean, seen.tail)
    return found


@torch.inference_mode()
def quantize_quickly(
    graph: Graph,
    encodings: dict[str, Encoding],
    images: NDArray[np.uint8],
    means: Mapping[str, NDArray[np.float64]],
    progress: Progress = silent,
) -> QuantizedGraph:
    """Quantize every layer, in graph order.

    Args:
        graph: a lowered float graph.
        encodings: the encoding of every tensor.
        images: the photos that correct the biases, uint8 RGB [n, H, W, 3].
        means: the mean of every tensor of the float graph on the same photos, at the positions of `sampled`, [C].
        progress: called after each node.
    """
    quantized = QuantizedGraph(graph, encodings, {}, float_nodes(graph))
    store = TensorStore(encodings, {graph.input: pixels_to_int8(images)}, {})
    last_use = last_uses(graph)
    for number, node in enumerate(graph.nodes):
        if isinstance(node.operator, WEIGHTED):
            weights, output = _quantize_layer(
                quantized, node, store.integer(node.inputs[0]), means[node.output]
            )
            quantized = replace(quantized, weights={**quantized.weights, node.name: weights})
            store.integers[node.output] = output
        else:
            run_as_device(quantized, node, store)
        for values in (store.integers, store.reals):
            free_after(values, node, last_use)
        progress("quantizing layers", number + 1, len(graph.nodes))
    return finished(quantized)


LARGEST_KERNEL = 2**24
"""The number of a matrix's weights that are in memory as floats at once."""


def _sums(operator: Weighted, values: NDArray[np.int8], x: Tensor, zero_point: int) -> Iterator[Tensor]:
    """Yield the sums of products of all photos, CHUNK photos at a time, or together if the layer is a matrix."""
    if isinstance(operator, FullyConnected):
        centred = x.float().sub_(zero_point)
        parts = torch.from_numpy(values).split(max(1, LARGEST_KERNEL // values.shape[1]))
        yield torch.cat([products(operator, part.float(), None, centred) for part in parts], dim=-1)
        return
    kernel = torch.from_numpy(values).float()
    for some in x.split(CHUNK):
        yield products(operator, kernel, None, some.float().sub_(zero_point))


def _quantize_layer(
    quantized: QuantizedGraph, node: Node, x: Tensor, mean: NDArray[np.float64]
) -> tuple[QuantizedWeights, Tensor]:
    """Return a layer's integers and its int8 output for all photos.

    The output is computed in float32 throughout. Where a value lies almost on a tie, it may differ from the device's
    by a step.
    """
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    source, output = quantized.encodings[node.inputs[0]], quantized.encodings[node.output]
    scales = least_squares_scales(operator, source.scale, FEWER_SHRINKING)
    weights = QuantizedWeights(round_nearest(operator, scales), scales, np.zeros(len(scales), np.int32))
    sums = list(_sums(operator, weights.values, x, source.zero_point))
    step = torch.from_numpy(scales * np.float32(source.scale))
    before = torch.cat([sampled(part, len(x)) for part in sums]) * step
    bias = solve_bias(
        before, tensor_of(operator.bias).double(), torch.from_numpy(mean), operator.activation.bounds
    )
    weights = replace(weights, bias=quantize_bias(bias.numpy(), source.scale, scales))
    factor = torch.from_numpy(multiplier(source, weights, output))
    offset = torch.from_numpy(weights.bias).float() * factor + output.zero_point
    low, high = bounds(operator.activation, output)
    made = [part.mul_(factor).add_(offset).round_().clamp_(low, high).to(torch.int8) for part in sums]
    return weights, torch.cat(made)
