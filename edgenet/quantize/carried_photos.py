"""Carry the activations of calibration photos through a network whose layers are quantized one after the other.

Those of the float network and those of the device are carried along for all photos, node by node. Where feature maps
are large, so many photos would take much memory, and fewer are enough: there, some go ahead, and the others join them
where the maps are smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import apply, decode_pixels, free_after, last_uses
from edgenet.graph.ir import Graph, Node
from edgenet.quantize.integer import TensorStore, pixels_to_int8, prepared
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph

CHUNK = 2
"""Number of photos processed at once, small enough for temporary arrays to be reused, not allocated anew."""
VALUES_TOGETHER = 2**20
"""Where feature maps are small, photos with about so many values together are processed at once."""


@dataclass
class Carried:
    """Activations of all photos, by tensor name: the float network's `floats`, and those on the `device`.

    The float activations are kept in half precision, which takes half the memory. Its error is 60 dB below
    the signal, far below that of int8.
    """

    floats: dict[str, Tensor]
    device: TensorStore

    @staticmethod
    def of(quantized: QuantizedGraph, images: NDArray[np.uint8]) -> Carried:
        """Return the inputs, from photos uint8 RGB [n, H, W, 3]."""
        graph, encodings = quantized.graph, quantized.encodings
        decoded = decode_pixels(graph, images).to(_waiting_dtype(encodings[graph.input]))
        device = TensorStore(encodings, {graph.input: pixels_to_int8(images)}, {})
        return Carried({graph.input: decoded}, device)

    def __len__(self) -> int:
        return len(next(iter(self.floats.values())))

    def kinds(self) -> tuple[dict[str, Tensor], ...]:
        """Return the tensors by name: those of the float network, and both forms of those on the device."""
        return self.floats, self.device.integers, self.device.reals

    def free_after(self, node: Node, last_use: Mapping[str, str]) -> None:
        """Drop what no later node reads."""
        for values in self.kinds():
            free_after(values, node, last_use)


CARRIED_BYTES, FEWEST_PHOTOS = 100_000_000, 8
"""The bytes that the activations around one node may take, unless these are so few photos."""
BYTES_OF_VALUE = 3
"""The bytes of one value: half precision in the float network, and int8."""


def photos_at_nodes(graph: Graph, photos: int) -> list[int]:
    """Return with how many photos each node is quantized: fewer where feature maps are large, never fewer than before.

    A large feature map has many positions, so fewer photos are enough there; the others join later, see `add_more`.
    """
    counts = []
    for node in graph.nodes:
        names = {*node.inputs, node.output}
        values = sum(math.prod(graph.shapes[name][1:]) for name in names)
        counts.append(min(photos, max(FEWEST_PHOTOS, CARRIED_BYTES // (BYTES_OF_VALUE * values))))
    return [min(counts[number:]) for number in range(len(counts))]


JOINING = 2 * CHUNK
"""Number of photos that catch up together: each node's weights are made ready once for all of them."""


def add_more(
    quantized: QuantizedGraph, carried: Carried, images: NDArray[np.uint8], before: Sequence[Node]
) -> None:
    """Let more photos join those that are carried, after the nodes before, whose integers are known now.

    Args:
        quantized: the network so far.
        carried: the activations of the first photos, to which the others are added.
        images: all photos, the first ones included, uint8 RGB [n, H, W, 3].
        before: the nodes that the first photos have passed.
    """
    last_use = last_uses(quantized.graph)
    for start in range(len(carried), len(images), JOINING):
        some = Carried.of(quantized, images[start : start + JOINING])
        for node in before:
            run_float(quantized, node, some)
            run_as_device(quantized, node, some.device)
            some.free_after(node, last_use)
        for whole, part in zip(carried.kinds(), some.kinds(), strict=True):
            _put(whole, part, start, len(images))


def _put(whole: dict[str, Tensor], part: Mapping[str, Tensor], start: int, count: int) -> None:
    """Put the tensors of the photos from `start` on beside those before; there is room for `count` in the end."""
    for name in [*whole]:
        if name not in part:
            del whole[name]
            continue
        if len(whole[name]) < count:
            room = whole[name].new_empty((count, *whole[name].shape[1:]))
            room[:start] = whole[name]
            whole[name] = room
        whole[name][start : start + len(part[name])] = part[name]


def run_float(quantized: QuantizedGraph, node: Node, carried: Carried) -> None:
    """Run one node of the float network on all photos."""
    waiting = _waiting_dtype(quantized.encodings[node.output])
    step = partial(_apply_float, node)
    carried.floats[node.output] = _in_chunks(quantized, node, carried.floats, step, waiting)


def run_as_device(quantized: QuantizedGraph, node: Node, tensors: TensorStore) -> None:
    """Run one node on all photos as the device does: in int8, or in float32 if it has no int8 form."""
    if node.name in quantized.kept_float:
        reals = {name: tensors.real(name) for name in node.inputs}
        tensors.reals[node.output] = _in_chunks(
            quantized, node, reals, partial(_apply_float, node), torch.float32
        )
    else:
        integers = {name: tensors.integer(name) for name in node.inputs}
        step = prepared(quantized, node)
        tensors.integers[node.output] = _in_chunks(quantized, node, integers, step, torch.int8)


def _waiting_dtype(encoding: Encoding) -> torch.dtype:
    """Return half precision if it covers a tensor's range easily, else float32."""
    span = encoding.scale * 256
    return torch.float16 if 1e-2 < span < 3e4 else torch.float32


def photos_together(graph: Graph, node: Node) -> int:
    """Return the number of photos that pass a node at once: more than CHUNK where its tensors are small."""
    values = sum(math.prod(graph.shapes[name][1:]) for name in {*node.inputs, node.output})
    return max(CHUNK, VALUES_TOGETHER // values)


def _apply_float(node: Node, inputs: list[Tensor]) -> Tensor:
    return apply(node.operator, [x.float() for x in inputs])


def _in_chunks(
    quantized: QuantizedGraph,
    node: Node,
    values: dict[str, Tensor],
    step: Callable[[list[Tensor]], Tensor],
    dtype: torch.dtype,
) -> Tensor:
    """Run one node on all photos, some photos at a time, and return the results as `dtype`."""
    inputs, count = [values[name] for name in node.inputs], photos_together(quantized.graph, node)
    parts = zip(*(x.split(count) for x in inputs), strict=True)
    made: Tensor | None = None
    for number, part in enumerate(parts):
        result = step(list(part))
        if made is None:
            made = result.new_empty((len(inputs[0]), *result.shape[1:]), dtype=dtype)
        made[number * count : number * count + len(result)] = result
    assert made is not None
    return made
