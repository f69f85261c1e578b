"""Which values every tensor takes on the calibration photos."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import Activation, Concat, Pad, Pool, Reshape, Softmax, Transpose, Unary
from edgenet.progress import Progress, silent
from edgenet.quantize.encodings import HIGH, LOW, Encoding, Range, encoding_for
from edgenet.quantize.statistics import BATCH, ChannelStatistics

SHARING = (Pad, Pool, Reshape, Transpose, Concat)
"""Operators that move int8 values without rescaling them: inputs and output share one encoding."""

ROOM = 0.5

ZERO_TO_ONE = Encoding(1 / 256, -128)
"""The encoding that TFLite prescribes for a LOGISTIC's and a SOFTMAX's output (8-bit quantization specification)."""


def observe_ranges(graph: Graph, images: NDArray[np.uint8], progress: Progress = silent) -> dict[str, Range]:
    """The smallest and largest value of every tensor over the photos.

    Raises:
        EdgenetError: a tensor holds NaN or infinity; names the first node that made it.
    """
    ranges: dict[str, Range] = {}

    def observe(name: str, value: Tensor) -> None:
        low, high = value.aminmax()
        seen = Range(float(low), float(high))
        ranges[name] = ranges[name].union(seen) if name in ranges else seen
        _check_finite(graph, name, seen)

    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        run(graph, batch, BATCH, observe)
        progress("observing ranges", start + len(batch), len(images))
    return ranges


def ranges_of(graph: Graph, statistics: dict[str, ChannelStatistics]) -> dict[str, Range]:
    """The same from the statistics of every tensor's channels."""
    ranges = {n: Range(float(seen.low.min()), float(seen.high.max())) for n, seen in statistics.items()}
    for name, values in ranges.items():
        _check_finite(graph, name, values)
    return ranges


def _check_finite(graph: Graph, name: str, values: Range) -> None:
    if not (math.isfinite(values.low) and math.isfinite(values.high)):
        _refuse_infinite(graph, name)


def _refuse_infinite(graph: Graph, name: str) -> None:
    producer = graph.producers().get(name)
    if producer and isinstance(producer.operator, Pad):
        return  # the -inf around a max pooling's picture becomes int8's lowest value
    at = f"node '{producer.name}'" if producer else "the input"
    raise EdgenetError(
        f"{at} gives NaN or infinite values on the calibration photos", "check the network's weights"
    )


def encode_tensors(graph: Graph, ranges: dict[str, Range]) -> dict[str, Encoding]:
    """One int8 encoding for every tensor; tensors joined by a moving operator share theirs.

    Raises:
        EdgenetError: tensors that must share an encoding do not fit into the one that is prescribed for one of them.
    """
    leader = _shared(graph)
    joined: dict[str, Range] = {}
    for name, values in ranges.items():
        if math.isfinite(values.low):
            head = leader(name)
            joined[head] = joined[head].union(values) if head in joined else values
    fixed: dict[str, Encoding] = {}
    for name, encoding in _fixed(graph).items():
        head = leader(name)
        if fixed.setdefault(head, encoding) != encoding or not _fits(joined[head], encoding):
            raise EdgenetError(
                f"'{name}' has a prescribed int8 encoding and is joined with other values, up to {joined[head]}",
                "do not concatenate a sigmoid, a softmax or the picture with features",
            )
    return {name: fixed.get(leader(name)) or encoding_for(joined[leader(name)]) for name in ranges}


def leave_room(graph: Graph, ranges: dict[str, Range], coherence: Mapping[str, float]) -> dict[str, Range]:
    """Ranges that other photos overshoot less.

    A value beyond the range is cut, and where a whole map's errors add up (late layers, before the mean), a channel
    that fires stronger than on any calibration photo costs more than all rounding of its tensor. So a range grows by
    ROOM times the root of the coherence; not beyond what the activation lets through, and not that of what has a single
    position, the pooled features and the logits: there no errors add up.
    """
    maps = [node for node in graph.nodes if _positions(graph.shapes[node.output]) > 1]
    wider = {n.output: _widened(n, ranges[n.output], 1 + ROOM * coherence[n.output] ** 0.5) for n in maps}
    return {**ranges, **wider}


def _positions(shape: tuple[int, ...]) -> int:
    return shape[1] * shape[2] if len(shape) == 4 else 1


def _widened(node: Node, values: Range, factor: float) -> Range:
    low, high = getattr(node.operator, "activation", Activation.NONE).bounds
    return Range(max(values.low * factor, low), min(values.high * factor, high))


def _fits(values: Range, encoding: Encoding) -> bool:
    """Whether int8 holds the values but for a step."""
    low, high = ((q - encoding.zero_point) * encoding.scale for q in (LOW - 1, HIGH + 1))
    return low <= values.low and values.high <= high


def _fixed(graph: Graph) -> dict[str, Encoding]:
    pixels = graph.takes_pixels()
    fixed = {graph.input: Encoding(float(np.float32(pixels.scale)), pixels.zero_point - 128)}
    for node in graph.nodes:
        if node.operator in (Unary("sigmoid"), Softmax()):
            fixed[node.output] = ZERO_TO_ONE
    return fixed


def _shared(graph: Graph) -> Callable[[str], str]:
    """Maps a tensor to the one that stands for all those it shares its encoding with."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while name in parent:
            name = parent[name]
        return name

    for node in graph.nodes:
        if shares_encoding(node):
            for name in node.inputs:
                head, tail = find(name), find(node.output)
                if head != tail:
                    parent[tail] = head
    return find


def shares_encoding(node: Node) -> bool:
    """Whether this node's inputs and output have one encoding."""
    operator = node.operator
    return isinstance(operator, SHARING) or (isinstance(operator, Unary) and operator.kind.startswith("relu"))
