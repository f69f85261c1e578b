"""Folds the steps around a layer into the layer itself: batch norm, normalization, padding and activations.

Batch norm, the normalization of pixels and separate biases are all x * scale + offset (an `Affine`). Such a step
disappears into the weights and biases of the operator before it, or of all operators after it. Zero padding moves
into the convolutions that read it, and a ReLU into the operator that it follows.

The file of a network that takes grey pictures takes RGB like every other: its first layer mixes the channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgenet.graph.ir import (
    FUSING,
    WEIGHTED,
    Activation,
    Affine,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Node,
    Pad,
    Pads,
    PixelEncoding,
    Unary,
    Weighted,
    per_channel,
)
from edgenet.graph.shapes import GraphBuilder

if TYPE_CHECKING:
    from edgenet.zoo.classifier import Normalization


def fold_affine(graph: Graph) -> Graph:
    """Fold every Affine into the operator before it or all operators after it, wherever that is exact."""
    while True:
        folded = _fold_first(graph)
        if folded is None:
            return graph
        graph = folded


def _fold_first(graph: Graph) -> Graph | None:
    """Fold the first Affine that can be folded; return None if there is none."""
    producers, uses = graph.producers(), graph.uses()
    for node in graph.nodes:
        if not isinstance(node.operator, Affine):
            continue
        before = producers.get(node.inputs[0])
        if before and uses[before.output] == 1 and (merged := _after(before, node.operator)):
            return _merge(graph, before, node, merged)
        consumers = graph.readers(node.output)
        if (
            node.output != graph.output
            and consumers
            and all(can_fold_affine(c, node.operator) for c in consumers)
        ):
            return _fold_forward(graph, node, consumers)
    return None


def _after(before: Node, affine: Affine) -> Weighted | Affine | None:
    """Return one operator for `before` followed by an Affine, or None if they cannot be merged."""
    operator = before.operator
    if isinstance(operator, Affine):
        return Affine(operator.scale * affine.scale, operator.offset * affine.scale + affine.offset)
    if not isinstance(operator, WEIGHTED) or operator.activation.value != "none":
        return None
    scale, offset = affine.scale.astype(np.float64), affine.offset.astype(np.float64)
    bias = (operator.bias * scale + offset).astype(np.float32)
    weight = (operator.weight * per_channel(operator, scale)).astype(np.float32)
    return replace(operator, weight=weight, bias=bias)


def _merge(graph: Graph, before: Node, node: Node, operator: Weighted | Affine) -> Graph:
    merged = replace(before, operator=operator, output=node.output)
    nodes = [merged if other is before else other for other in graph.nodes if other is not node]
    return graph.with_nodes(nodes)


def can_fold_affine(consumer: Node, affine: Affine) -> bool:
    """Return whether an Affine before this node can be folded into it exactly.

    An offset cannot be folded if the convolution pads: its zeros are added after the offset.
    """
    operator = consumer.operator
    if isinstance(operator, FullyConnected):
        return True
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        return not any(operator.pads) or not np.any(affine.offset)
    return False


def _fold_forward(graph: Graph, node: Node, consumers: list[Node]) -> Graph:
    """Remove an Affine by folding it into the nodes that read it."""
    source = node.inputs[0]
    affine = node.operator
    assert isinstance(affine, Affine)
    channels = graph.shapes[source][-1]
    nodes = []
    for other in graph.nodes:
        if other is node:
            continue
        if other in consumers:
            other = replace(
                other, operator=_fold_into_input(other.operator, affine, channels), inputs=(source,)
            )
        nodes.append(other)
    return graph.with_nodes(nodes)


def _fold_into_input(operator: object, affine: Affine, channels: int) -> Weighted:
    """Return the operator that gives for x what `operator` gives for x * scale + offset (away from padding).

    Args:
        operator: a convolution, depthwise convolution or fully connected layer.
        affine: the scale and offset, [C] or [1] each.
        channels: C, the number of channels of x.
    """
    assert isinstance(operator, WEIGHTED)
    scale = np.broadcast_to(affine.scale.astype(np.float64), (channels,))
    offset = np.broadcast_to(affine.offset.astype(np.float64), (channels,))
    weight = operator.weight.astype(np.float64)
    match operator:
        case FullyConnected():
            bias = weight @ offset
        case Conv2D():
            # each group reads only its own part of the channels
            size = channels // operator.groups
            group = np.arange(weight.shape[0]) // (weight.shape[0] // operator.groups)
            part = group[:, None] * size + np.arange(size)
            bias = np.einsum("ohwi,oi->o", weight, offset[part])
            scale = scale[part][:, None, None, :]
        case DepthwiseConv2D():
            multiplier = weight.shape[3] // channels
            scale, offset = np.repeat(scale, multiplier), np.repeat(offset, multiplier)
            bias = weight.sum((0, 1, 2)) * offset
    return replace(
        operator,
        weight=(weight * scale).astype(np.float32),
        bias=(operator.bias + bias).astype(np.float32),
    )


def absorb_scaling(graph: Graph, normalization: Normalization) -> tuple[Graph, Normalization]:
    """Move a scaling at the network's own input, such as Keras' Rescaling, into the normalization.

    `normalize_pixels` then chooses the zero point, the pixel value that the first convolution pads with, for
    both.
    """
    while True:
        readers = graph.readers(graph.input)
        scaling = readers[0].operator if len(readers) == 1 else None
        if not isinstance(scaling, Affine) or not _is_normal(scaling):
            return graph, normalization
        # ((pixel - mean) / std) * scale + offset = (pixel - (mean - offset * std / scale)) / (std / scale)
        std = np.broadcast_to(np.array(normalization.std) / scaling.scale, (3,))
        mean = np.broadcast_to(np.array(normalization.mean) - scaling.offset * std, (3,))
        (red, green, blue), (red_std, green_std, blue_std) = mean.tolist(), std.tolist()
        normalization = replace(normalization, mean=(red, green, blue), std=(red_std, green_std, blue_std))
        shapes = {readers[0].output: graph.shapes[graph.input]}
        rest = [node for node in graph.nodes if node is not readers[0]]
        graph = replace(graph, input=readers[0].output).with_nodes(rest, shapes)


def own_scaling(graph: Graph) -> Affine | None:
    """Return the scaling with which the network itself begins, all its steps as one; None if it has none.

    A grey network's mixing of red, green and blue may stand before it.
    """
    tensor, found = graph.input, None
    while len(readers := graph.readers(tensor)) == 1:
        operator = readers[0].operator
        if isinstance(operator, Affine):
            before = found or Affine(np.ones(1, np.float32), np.zeros(1, np.float32))
            offset = before.offset * operator.scale + operator.offset
            found = Affine(before.scale * operator.scale, offset)
        elif found is not None or not mixes_to_grey(readers[0]):
            break
        tensor = readers[0].output
    return found


def _is_normal(scaling: Affine) -> bool:
    """Return whether a Normalization can hold this scaling: all numbers finite, all scales positive."""
    numbers = np.concatenate([scaling.scale.reshape(-1), scaling.offset.reshape(-1)])
    return bool(np.isfinite(numbers).all() and (scaling.scale > 1e-20).all())


PIXEL_SCALE = 1 / 127.5
"""The scale of every file's input: the clients' documentation expects it of a MobileNet."""


def normalize_pixels(graph: Graph, normalization: Normalization) -> Graph:
    """Put the normalization in front, so that the graph takes pixels from 0 to 255.

    The decoded pixels have the scale 1 / 127.5, and the zero point nearest to the average of the three
    channels' means: the zeros with which convolutions pad then stand for (nearly) the same grey as in
    training.
    """
    mean, std = np.array(normalization.mean, np.float64), np.array(normalization.std, np.float64)
    # rounds 127.5 down to 127, the zero point of the usual MobileNet files
    zero_point = int(np.clip(np.ceil(mean.mean() - 0.5), 0, 255))
    scale = 1 / (PIXEL_SCALE * std)
    offset = (zero_point - mean) / std
    decoded = graph.unused_name(f"{graph.input}/pixels")
    affine = Affine(scale.astype(np.float32), offset.astype(np.float32))
    node = Node(graph.unused_name(f"{graph.input}/normalize"), affine, (decoded,), graph.input)
    shapes = {**graph.shapes, decoded: graph.shapes[graph.input]}
    pixels = PixelEncoding(PIXEL_SCALE, zero_point)
    return replace(graph, nodes=(node, *graph.nodes), input=decoded, shapes=shapes, pixels=pixels)


def fold_border(graph: Graph) -> Graph:
    """Fold a normalization that is still in front into the padded first convolution, inexact at the border.

    If the network's zero is not a whole pixel value shared by the three channels, the padding cannot be
    exact: the grey it stands for at the picture's edge is off by the fraction. Int8 files accept this error
    (V2: 50 dB below the signal, far under int8's own error); float files keep the normalization as an
    operator instead.
    """
    first = graph.nodes[0]
    consumers = graph.readers(first.output)
    convolutions = all(isinstance(c.operator, Conv2D | DepthwiseConv2D) for c in consumers)
    if not isinstance(first.operator, Affine) or not convolutions:
        return graph
    return _fold_forward(graph, first, consumers)


def absorb_padding(graph: Graph) -> Graph:
    """Move zero padding into the convolutions that read it."""
    for node in reversed(graph.nodes):  # of two Pads in a row, the later one must move first
        if not isinstance(node.operator, Pad) or node.operator.value != 0 or node.output == graph.output:
            continue
        consumers = graph.readers(node.output)
        if not all(isinstance(n.operator, Conv2D | DepthwiseConv2D) for n in consumers):
            continue
        nodes = [_with_more_padding(n, node) if n in consumers else n for n in graph.nodes if n is not node]
        graph = graph.with_nodes(nodes)
    return graph


def _with_more_padding(consumer: Node, padding: Node) -> Node:
    operator, outer = consumer.operator, padding.operator
    assert isinstance(operator, Conv2D | DepthwiseConv2D)
    assert isinstance(outer, Pad)
    pads = Pads(*(own + more for own, more in zip(operator.pads, outer.pads, strict=True)))
    return replace(consumer, operator=replace(operator, pads=pads), inputs=padding.inputs)


def fuse_activations(graph: Graph) -> Graph:
    """Move relu and relu6 into the convolution, fully connected or elementwise operator that they follow."""
    for node in graph.nodes:
        if not (isinstance(node.operator, Unary) and node.operator.kind in ("relu", "relu6")):
            continue
        before = graph.producers().get(node.inputs[0])
        if before is None or not isinstance(before.operator, FUSING):
            continue
        if before.operator.activation is not Activation.NONE or graph.uses()[before.output] > 1:
            continue
        operator = replace(before.operator, activation=Activation(node.operator.kind))
        fused = replace(before, operator=operator, output=node.output)
        graph = graph.with_nodes([fused if n is before else n for n in graph.nodes if n is not node])
    return graph


LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""The shares of red, green and blue in grey (ITU-R BT.601), as Pillow and OpenCV convert photos to grey."""


def add_grey(builder: GraphBuilder, source: str) -> str:
    """Add the layer that makes a grey picture [1, H, W, 1] of the RGB input; return its output."""
    return builder.add(Conv2D(LUMA.reshape(1, 1, 1, 3), np.zeros(1, np.float32)), [source], f"{source}/grey")


def fold_grey(graph: Graph) -> Graph:
    """Let the first layer read RGB: what it does to grey, it does to each channel times its share in grey.

    A normalization between the two moves before the mixing, because the shares add up to 1.
    """
    mixing = next((node for node in graph.nodes if mixes_to_grey(node)), None)
    if mixing is None:
        return graph
    readers = graph.readers(mixing.output)
    while len(readers) == 1 and isinstance(readers[0].operator, Affine):
        graph = _swapped(graph, mixing, readers[0])
        mixing = next(node for node in graph.nodes if mixes_to_grey(node))
        readers = graph.readers(mixing.output)
    if mixing.output == graph.output or not all(_can_read_rgb(node) for node in readers):
        return graph
    nodes = (_reading_rgb(node, mixing.inputs) if node in readers else node for node in graph.nodes)
    return graph.with_nodes(node for node in nodes if node is not mixing)


def mixes_to_grey(node: Node) -> bool:
    """Return whether the node is the layer that `add_grey` adds."""
    operator = node.operator
    return (
        isinstance(operator, Conv2D)
        and operator.weight.shape == (1, 1, 1, 3)
        and np.array_equal(operator.weight.reshape(-1), LUMA)
        and not np.any(operator.bias)
    )


def _swapped(graph: Graph, mixing: Node, affine: Node) -> Graph:
    """Put a scaling of the grey picture before the mixing."""
    scaled = graph.unused_name(f"{mixing.output}/scaled")
    first = replace(affine, inputs=mixing.inputs, output=scaled)
    second = replace(mixing, inputs=(scaled,), output=affine.output)
    swapped = [{mixing.name: first, affine.name: second}.get(node.name, node) for node in graph.nodes]
    return graph.with_nodes(swapped, {scaled: graph.shapes[mixing.inputs[0]]})


def _can_read_rgb(node: Node) -> bool:
    return isinstance(node.operator, Conv2D) and node.operator.groups == 1


def _reading_rgb(node: Node, inputs: tuple[str, ...]) -> Node:
    operator = node.operator
    assert isinstance(operator, Conv2D)
    weight = np.ascontiguousarray(operator.weight * LUMA)
    return replace(node, operator=replace(operator, weight=weight), inputs=inputs)
