"""Puts the normalization of uint8 pixels into the graph, and folds it into the first convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Graph, Node, PixelEncoding
from edgenet.graph.operators import Affine, Conv2D, DepthwiseConv2D
from edgenet.graph.passes.affine import fold_into_input
from edgenet.zoo.normalization import Normalization

PIXEL_SCALE = 1 / 127.5
"""The scale of every file's input: the clients' documentation expects it of a MobileNet."""


def absorb_scaling(graph: Graph, normalization: Normalization) -> tuple[Graph, Normalization]:
    """Move a scaling at the network's own input, such as Keras' Rescaling, into the normalization.

    `normalize_pixels` then chooses the zero point, the pixel value that the first convolution pads with, for
    both.
    """
    while True:
        readers = [node for node in graph.nodes if graph.input in node.inputs]
        scaling = readers[0].operator if len(readers) == 1 else None
        if not isinstance(scaling, Affine) or not _is_normal(scaling):
            return graph, normalization
        # ((pixel - mean) / std) * scale + offset = (pixel - (mean - offset * std / scale)) / (std / scale)
        std = np.broadcast_to(np.array(normalization.std) / scaling.scale, (3,))
        mean = np.broadcast_to(np.array(normalization.mean) - scaling.offset * std, (3,))
        (red, green, blue), (red_std, green_std, blue_std) = mean.tolist(), std.tolist()
        normalization = Normalization((red, green, blue), (red_std, green_std, blue_std))
        shapes = {readers[0].output: graph.shapes[graph.input]}
        rest = [node for node in graph.nodes if node is not readers[0]]
        graph = replace(graph, input=readers[0].output).with_nodes(rest, shapes)


def _is_normal(scaling: Affine) -> bool:
    """Return whether a Normalization can hold this scaling: all numbers finite, all scales positive."""
    numbers = np.concatenate([scaling.scale.reshape(-1), scaling.offset.reshape(-1)])
    return bool(np.isfinite(numbers).all() and (scaling.scale > 1e-20).all())


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
    consumers = [node for node in graph.nodes if first.output in node.inputs]
    if not isinstance(first.operator, Affine) or not all(
        isinstance(c.operator, Conv2D | DepthwiseConv2D) for c in consumers
    ):
        return graph
    folded = {
        consumer.name: replace(
            consumer, operator=fold_into_input(consumer.operator, first.operator, 3), inputs=first.inputs
        )
        for consumer in consumers
    }
    return graph.with_nodes(folded.get(node.name, node) for node in graph.nodes[1:])
