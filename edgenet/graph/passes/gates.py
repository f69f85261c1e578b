"""Writes squeeze-and-excite gates, x * hard_sigmoid(y), with as few operators and roundings as possible.

hard_sigmoid(y) is relu6(y + 3) / 6. The 3 goes into the bias of the convolution that makes y, and relu6
becomes its activation. The division by 6 moves after the product, and the next convolution folds it into its
weights. An int8 gate is then rounded once, on a range from 0 to 6; y, whose range may be many times wider, is
not rounded as well.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import Activation, Affine, Binary
from edgenet.graph.passes.affine import fold_affine, takes_affine
from edgenet.graph.passes.lowering import is_hard_sigmoid, lower_hard_sigmoid


def lower_gates(graph: Graph) -> Graph:
    """Replace every hard_sigmoid by operators that a file has; fold most into neighbouring layers."""
    if not any(is_hard_sigmoid(node) for node in graph.nodes):
        return graph
    graph = lower_hard_sigmoid(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.operator, Affine)]:
        graph = _scale_the_product(graph, next(node for node in graph.nodes if node.name == name))
    return fold_affine(graph)


def _scale_the_product(graph: Graph, scaling: Node) -> Graph:
    """Turn (g * s) * x into (g * x) * s if all layers after the product can fold the scale s."""
    affine, readers = scaling.operator, [node for node in graph.nodes if scaling.output in node.inputs]
    assert isinstance(affine, Affine)
    if len(readers) != 1 or scaling.output == graph.output or not _is_plain_scale(affine):
        return graph
    product = readers[0]
    behind = [node for node in graph.nodes if product.output in node.inputs]
    if not _is_plain_product(product) or product.output == graph.output or not behind:
        return graph
    if product.inputs.count(scaling.output) != 1:
        return graph  # a product of the tensor with itself would need the scale twice
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
    """Return whether the Affine has one factor for all channels and no offset."""
    return affine.scale.size == 1 and not np.any(affine.offset)


def _is_plain_product(node: Node) -> bool:
    operator = node.operator
    return isinstance(operator, Binary) and operator == Binary("mul", Activation.NONE)
