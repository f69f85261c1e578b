"""Writes hard_swish so that XNNPACK runs it in int8: as an addition and a multiplication.

XNNPACK has no int8 HARD_SWISH. LiteRT's own kernel is slow, and every one of them parts the network. But with
x = sqrt(6) u, hard_swish(x) = x relu6(x + 3) / 6 is

    u * clip(u + 3 / sqrt(6), 0, sqrt(6))

The layer that makes x makes u instead: its weights and bias are divided by sqrt(6), which leaves its int8 weights as
they are. The addition needs no clip: its int8 output holds the values from 0 to sqrt(6), and saturates at both ends.
The multiplication needs no division.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.fold import fold_affine
from edgenet.graph.ir import Affine, Graph, Node, Shape, Unary

ROOT = 6**0.5
"""sqrt(6), which is also the highest value of the clipped sum."""
SHIFT = 3 / ROOT
"""What is added to u. Below -SHIFT, the result is 0."""
SCALED = Unary("scaled_hard_swish")


def scale_hard_swish(graph: Graph) -> Graph:
    """Replace every hard_swish by a scaled_hard_swish of its input divided by sqrt(6).

    The layer that makes the input takes the division. If the input has other readers, or no layer makes it, the
    division stays an Affine.
    """
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        if node.operator == Unary("hard_swish"):
            divided = graph.unused_name(f"{node.output}/divided")
            shapes[divided] = graph.shapes[node.output]
            by_root = Affine(np.full(1, 1 / ROOT, np.float32), np.zeros(1, np.float32))
            nodes.append(Node(divided, by_root, node.inputs, divided))
            node = replace(node, operator=SCALED, inputs=(divided,))
        nodes.append(node)
    return fold_affine(graph.with_nodes(nodes, shapes)) if shapes else graph
