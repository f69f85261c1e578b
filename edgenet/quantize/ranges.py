"""Observe the range of every tensor and statistics of its channels on the calibration photos; choose int8 encodings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.graph.executor import Observer, photos_at_once, run
from edgenet.graph.ir import (
    MOVING,
    Activation,
    Binary,
    Graph,
    Node,
    Operator,
    Pad,
    Shape,
    Softmax,
    Unary,
)
from edgenet.graph.xnnpack_forms import SCALED, SHIFT
from edgenet.progress import Progress, silent
from edgenet.quantize.quantized_graph import HIGH, LOW, SMALLEST_SCALE, Encoding


@dataclass(frozen=True)
class Range:
    """The lowest and the highest value that a tensor took."""

    low: float
    high: float

    def union(self, other: Range) -> Range:
        """Return the smallest range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


NO_LIMITS = Range(-math.inf, math.inf)


def observe_ranges(graph: Graph, images: NDArray[np.uint8], progress: Progress = silent) -> dict[str, Range]:
    """Return the smallest and the largest value of every tensor over the photos.

    Raises:
        EdgenetError: a tensor holds NaN or infinity; the message names the first node that gave such a value.
    """
    ranges: dict[str, Range] = {}

    def observe(name: str, value: Tensor) -> None:
        low, high = value.aminmax()
        seen = Range(float(low), float(high))
        ranges[name] = ranges[name].union(seen) if name in ranges else seen
        _check_finite(graph, name, seen)

    count = photos_at_once(graph)
    for start in range(0, len(images), count):
        batch = images[start : start + count]
        run(graph, batch, count, observe)
        progress("observing ranges", start + len(batch), len(images))
    return ranges


def ranges_of(graph: Graph, statistics: dict[str, ChannelStatistics]) -> dict[str, Range]:
    """Return the same as `observe_ranges`, from the statistics of every tensor's channels."""
    ranges = {n: Range(float(seen.low.min()), float(seen.high.max())) for n, seen in statistics.items()}
    for name, values in ranges.items():
        _check_finite(graph, name, values)
    return ranges


def _check_finite(graph: Graph, name: str, values: Range) -> None:
    if math.isfinite(values.low) and math.isfinite(values.high):
        return
    producer = graph.producers().get(name)
    if producer and isinstance(producer.operator, Pad):
        return  # the -inf padding of a max pooling becomes int8's lowest value
    at = f"node '{producer.name}'" if producer else "the input"
    raise EdgenetError(
        f"{at} gives NaN or infinite values on the calibration photos", "check the network's weights"
    )


HEADROOM = 0.5
"""By how much a range grows where the errors of a whole feature map add up fully (coherence 1)."""


def add_headroom(graph: Graph, ranges: dict[str, Range], coherence: Mapping[str, float]) -> dict[str, Range]:
    """Return ranges with headroom, so that fewer values of other photos lie beyond them.

    A value beyond the range is clipped. In late layers, before the mean, the errors of a whole feature map
    add up: there, a channel with larger values than on any calibration photo costs more than all rounding of
    its tensor. So each range grows by the factor 1 + HEADROOM * sqrt(coherence), within the bounds of the
    activation, also behind a padding and other operators that only move values. Tensors with a single position,
    the pooled features and the logits, keep their range, because no errors add up there.

    Args:
        graph: the graph.
        ranges: the observed range of every tensor, by name.
        coherence: by tensor name, see `Sensitivity`.
    """
    leader = _shared(graph)
    prescribed = {leader(name) for name in _fixed(graph)}  # these ranges cannot grow
    maps = [
        node
        for node in graph.nodes
        if _positions(graph.shapes[node.output]) > 1 and leader(node.output) not in prescribed
    ]
    limits = _limits(graph)
    wider = {
        node.output: _widened(
            ranges[node.output], 1 + HEADROOM * coherence[node.output] ** 0.5, limits[node.output]
        )
        for node in maps
    }
    return {**ranges, **wider}


def _limits(graph: Graph) -> dict[str, Range]:
    """Return between which bounds each tensor's values lie because of an activation, by name."""
    limits = {graph.input: NO_LIMITS}
    for node in graph.nodes:
        if _moves_values(node):
            limits[node.output] = reduce(Range.union, (limits[name] for name in node.inputs))
        else:
            activation = getattr(node.operator, "activation", Activation.NONE)
            limits[node.output] = Range(*activation.bounds)
    return limits


def _moves_values(node: Node) -> bool:
    """Whether a node's output holds only values of its inputs, their means, and zeros."""
    operator = node.operator
    return isinstance(operator, MOVING) and not (isinstance(operator, Pad) and operator.value != 0)


SHOWN = 0.65
"""The photos show the network's range if the best class has at least this probability on most of them. On ImageNet's
photos the medians are 0.94 (V1), 0.92 (V2) and 0.79 (Lite0), on those of calibration_data/ 0.53, 0.43 and 0.33."""
ROOM_SHOWN, ROOM_NOT_SHOWN = 1.2, 1.5
"""By how much the highest logit may be exceeded. V2's logits reach 23 on calibration_data/ and 37 on ImageNet."""


def add_logit_room(graph: Graph, ranges: dict[str, Range], confidence: float) -> dict[str, Range]:
    """Return ranges with room for higher logits than the photos show.

    Logits beyond the range become equal, and the first of them wins: so the classes of which the network is
    surest are mixed up. Coarser steps cost far less: any step from 0.001 to 0.2 gives the same answers.

    Args:
        graph: the graph.
        ranges: the range of every tensor, by name.
        confidence: the median over the photos of the best class's probability.
    """
    room = ROOM_SHOWN if confidence >= SHOWN else ROOM_NOT_SHOWN
    logits = ranges[graph.output]
    return {**ranges, graph.output: Range(logits.low, max(logits.high * room, logits.high))}


def _positions(shape: tuple[int, ...]) -> int:
    return shape[1] * shape[2] if len(shape) == 4 else 1


def _widened(values: Range, factor: float, limits: Range) -> Range:
    return Range(max(values.low * factor, limits.low), min(values.high * factor, limits.high))


def encode_tensors(graph: Graph, ranges: dict[str, Range]) -> dict[str, Encoding]:
    """Return an int8 encoding for every tensor; tensors joined by an operator in MOVING or a ReLU share one.

    Raises:
        EdgenetError: one of the tensors that share an encoding has a prescribed one, and the others do not
            fit into it.
    """
    leader = _shared(graph)
    joined: dict[str, Range] = {}
    for name, values in _where_results_differ(graph, ranges).items():
        if math.isfinite(values.low):
            head = leader(name)
            joined[head] = joined[head].union(values) if head in joined else values
    fixed: dict[str, Encoding] = {}
    for name, encoding in _fixed(graph).items():
        head = leader(name)
        if fixed.setdefault(head, encoding) != encoding or not _fits(joined[head], encoding):
            raise EdgenetError(
                f"'{name}' has a prescribed int8 encoding and is joined with other values: {joined[head]}",
                "do not concatenate a sigmoid, a softmax or the picture with features",
            )
    encodings = {name: fixed.get(leader(name)) or encoding_for(joined[leader(name)]) for name in ranges}
    return _with_zeros_like_sums(graph, encodings, leader)


LOWEST_INPUTS: dict[Operator, float] = {Unary("hard_swish"): -3.0, SCALED: -SHIFT}
"""The input below which a function gives 0 everywhere."""


def _where_results_differ(graph: Graph, ranges: dict[str, Range]) -> dict[str, Range]:
    """Cut off the part of a range that every reader of the tensor turns into 0, so that the rest gets finer steps."""
    found = dict(ranges)
    for name, values in ranges.items():
        readers = [node.operator for node in graph.readers(name)]
        lowest = min((LOWEST_INPUTS.get(operator, -math.inf) for operator in readers), default=-math.inf)
        found[name] = Range(max(values.low, lowest), values.high)
    return found


def _with_zeros_like_sums(
    graph: Graph, encodings: dict[str, Encoding], leader: Callable[[str], str]
) -> dict[str, Encoding]:
    """Give tensors that hold only zeros a scale that fits the sum into which they go.

    Any scale holds zeros, but LiteRT aborts on an addition of a scale 2**19 times as large as the sum's, and XNNPACK
    takes up to 2**8 times.
    """
    found = dict(encodings)
    for node in graph.nodes:
        if not (isinstance(node.operator, Binary) and node.operator.kind in ("add", "sub")):
            continue
        for head in {leader(name) for name in node.inputs if encodings.get(name) == ONLY_ZEROS}:
            scale = min(128 * found[node.output].scale, ONLY_ZEROS.scale)
            found |= {name: Encoding(scale, 0) for name in encodings if leader(name) == head}
    return found


ONLY_ZEROS = Encoding(1.0, 0)
"""The encoding of a tensor that holds only zeros."""


def encoding_for(values: Range) -> Encoding:
    """Return the int8 encoding of a range, widened to hold zero, which int8 must represent exactly."""
    low, high = min(values.low, 0.0), max(values.high, 0.0)
    scale = np.float32((high - low) / (HIGH - LOW))
    if scale < SMALLEST_SCALE:
        return ONLY_ZEROS
    zero_point = int(np.clip(np.rint(LOW - low / scale), LOW, HIGH))
    return Encoding(float(scale), zero_point)


def _fits(values: Range, encoding: Encoding) -> bool:
    """Whether int8 with this encoding holds the values, with a tolerance of one step."""
    low, high = ((q - encoding.zero_point) * encoding.scale for q in (LOW - 1, HIGH + 1))
    return low <= values.low and values.high <= high


ZERO_TO_ONE = Encoding(1 / 256, -128)
"""The output encoding of LOGISTIC and SOFTMAX, prescribed by TFLite's 8-bit quantization specification."""
MINUS_ONE_TO_ONE = Encoding(1 / 128, 0)
"""The output encoding of TANH, prescribed there too."""


def _fixed(graph: Graph) -> dict[str, Encoding]:
    pixels = graph.require_pixels()
    fixed = {graph.input: Encoding(float(np.float32(pixels.scale)), pixels.zero_point - 128)}
    for node in graph.nodes:
        if node.operator in (Unary("sigmoid"), Softmax()):
            fixed[node.output] = ZERO_TO_ONE
        elif node.operator == Unary("tanh"):
            fixed[node.output] = MINUS_ONE_TO_ONE
    return fixed


def _shared(graph: Graph) -> Callable[[str], str]:
    """Return a function that maps a tensor to the representative of all tensors that share its encoding."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while name in parent:
            name = parent[name]
        return name

    for node in graph.nodes:
        if _shares_encoding(node):
            for name in node.inputs:
                head, tail = find(name), find(node.output)
                if head != tail:
                    parent[tail] = head
    return find


def _shares_encoding(node: Node) -> bool:
    """Whether this node's inputs and output share one encoding."""
    operator = node.operator
    return isinstance(operator, MOVING) or (isinstance(operator, Unary) and operator.kind.startswith("relu"))


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Statistics of one tensor's channels over all photos and positions, each a float64 array [C].

    Attributes:
        low, high: smallest and largest value.
        mean: mean of the values.
        tail: tail index; it tells how far other photos may go beyond `high`. A maximum over e times as many
            photos is expected to be exp(tail) times larger. It is estimated by Hill's estimator (1975): the
            mean logarithm of the ratio between the largest per-photo maxima and the next largest one.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    tail: NDArray[np.float64]


def channel_statistics(
    graph: Graph, images: NDArray[np.uint8], progress: Progress = silent, also: Observer | None = None
) -> dict[str, ChannelStatistics]:
    """Run the float graph over the photos once, and return the statistics of every tensor.

    Args:
        graph: a float graph.
        images: uint8 RGB [n, H, W, 3].
        progress: called after each batch.
        also: called with the name and value of every tensor in the same pass.

    Returns:
        The statistics by tensor name; channels are the last axis.
    """
    running: dict[str, _Running] = {}
    padding = {n.output: (n.inputs[0], n.operator.value) for n in graph.nodes if isinstance(n.operator, Pad)}

    def observe(name: str, value: Tensor) -> None:
        if name not in padding:
            if name not in running:
                running[name] = _Running(value)
            running[name].add(value)
        if also:
            also(name, value)

    count = photos_at_once(graph)
    for start in range(0, len(images), count):
        batch = images[start : start + count]
        run(graph, batch, count, observe)
        progress("observing tensors", start + len(batch), len(images))
    for name, (source, value) in padding.items():
        running[name] = running[source].padded(graph.shapes[name], value)
    return {name: running[name].finished() for name in (graph.input, *(node.output for node in graph.nodes))}


class _Running:
    """Running statistics of one tensor, updated photo by photo."""

    def __init__(self, value: Tensor) -> None:
        channels = value.shape[-1]
        self.low, self.high = torch.full((channels,), torch.inf), torch.full((channels,), -torch.inf)
        self.total = torch.zeros(channels, dtype=torch.float64)
        self.maxima: list[Tensor] = []
        self.count = 0

    def add(self, value: Tensor) -> None:
        """Add the tensor's value for some more photos, [n, ..., C]."""
        rows = value.reshape(len(value), -1, value.shape[-1])
        # amax and amin take a tenth of the time of aminmax here.
        wide = _widened_rows(rows)
        maxima = wide.amax(dim=1).reshape(len(rows), -1, rows.shape[2]).amax(dim=1)
        self.maxima.append(maxima)
        lowest = wide.amin(dim=(0, 1)).reshape(-1, rows.shape[2]).amin(dim=0)
        self.low = torch.minimum(self.low, lowest)
        self.high = torch.maximum(self.high, maxima.amax(dim=0))
        self.total += rows.sum(dim=(0, 1))
        self.count += rows.shape[0] * rows.shape[1]

    def padded(self, shape: Shape, value: float) -> _Running:
        """Return the statistics of the same tensor with padding by one value around it, of this shape [1, H, W, C]."""
        made = copy(self)
        made.count = len(torch.cat(self.maxima)) * shape[1] * shape[2]
        if made.count > self.count:
            made.low, made.high = self.low.clamp(max=value), self.high.clamp(min=value)
            made.total = self.total + value * (made.count - self.count)
            made.maxima = [part.clamp(min=value) for part in self.maxima]
        return made

    def finished(self) -> ChannelStatistics:
        low, high = self.low.double().numpy(), self.high.double().numpy()
        tail = tail_index(torch.cat(self.maxima).double().numpy())
        return ChannelStatistics(low, high, (self.total / self.count).numpy(), tail)


LANES = 32
"""Torch finds the largest value of each column four times as fast where this number divides the columns."""


def _widened_rows(rows: Tensor) -> Tensor:
    """Return rows [n, P, C] as [n, P / k, k * C], with the least k so that LANES divides k * C, if k divides P."""
    together = LANES // math.gcd(LANES, rows.shape[2])
    return rows.reshape(len(rows), -1, together * rows.shape[2]) if rows.shape[1] % together == 0 else rows


TINY = 1e-9


def tail_index(maxima: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the tail index [C] of per-photo maxima [n, C], by Hill's estimator on their largest seventh.

    It is 0 for channels that never fire, and if there are too few photos.
    """
    finite = np.nan_to_num(maxima, posinf=0.0)  # the -inf padding of max pooling has no tail
    ordered = np.sort(np.maximum(finite, TINY), axis=0)[::-1]
    count = max(1, len(ordered) // 7)
    if len(ordered) <= count:
        return np.zeros(ordered.shape[1])  # one photo says nothing about other photos
    return np.asarray(np.log(ordered[:count] / ordered[count]).mean(axis=0))
