"""The gates of squeeze-and-excite, x * hard_sigmoid(y), in as few operators and roundings as a .tflite file can.

hard_sigmoid(y) is relu6(y + 3) / 6. Its 3 goes into the bias of the convolution that makes y, relu6 into its
activation, and the division by 6 behind the product, where the next convolution takes it into its weights. An int8
gate is then rounded once, on a range from 0 to 6, and not also as y, whose range may be many times as wide.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import Activation, Affine, Binary
from edgenet.graph.passes.affine import fold_affine, takes_affine
from edgenet.graph.passes.lowering import is_hard_sigmoid, lower_hard_sigmoid


def lower_gates(graph: Graph) -> Graph:
    """Every hard_sigmoid in operators that a file has, most of them in the layers around."""
    if not any(is_hard_sigmoid(node) for node in graph.nodes):
        return graph
    graph = lower_hard_sigmoid(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.operator, Affine)]:
        graph = _scale_the_product(graph, next(node for node in graph.nodes if node.name == name))
    return fold_affine(graph)


def _scale_the_product(graph: Graph, scaling: Node) -> Graph:
    """(g * s) * x as (g * x) * s, where a layer behind the product takes the scale."""
    affine, readers = scaling.operator, [node for node in graph.nodes if scaling.output in node.inputs]
    assert isinstance(affine, Affine)
    if len(readers) != 1 or scaling.output == graph.output or not _is_plain_scale(affine):
        return graph
    product = readers[0]
    behind = [node for node in graph.nodes if product.output in node.inputs]
    if not _is_plain_product(product) or product.output == graph.output or not behind:
        return graph
    if product.inputs.count(scaling.output) != 1:
        return graph  # a square would have the scale twice
    if not all(takes_affine(node, affine) for node in behind):
        return graph
    unscaled = graph.unused_name(f"{product.output}/unscaled")
    inputs = tuple(scaling.inputs[0] if name == scaling.output else name for name in product.inputs)
    swapped = (
        replace(product, inputs=inputs, output=unscaled),
        replace(scaling, inputs=(unscaled,), output=product.output),
    )
    rest = (node for node in graph.nodes if node is not scaling)
    nodes = [new for node in rest for new in (swapped if node is product else (node,))]
    return graph.with_nodes(nodes, {unscaled: graph.shapes[product.output]})


def _is_plain_scale(affine: Affine) -> bool:
    """One factor for all channels, and nothing added."""
    return affine.scale.size == 1 and not np.any(affine.offset)


def _is_plain_product(node: Node) -> bool:
    operator = node.operator
    return isinstance(operator, Binary) and operator == Binary("mul", Activation.NONE)
