"""Moves padding into the convolutions, and out again if a .tflite convolution cannot express it.

A .tflite convolution knows two paddings, SAME (TensorFlow's rule) and VALID (none). Any other padding needs a
PAD operator before the convolution.
"""

from __future__ import annotations

from dataclasses import replace

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph, Node, Shape
from edgenet.graph.operators import WINDOWED, Conv2D, DepthwiseConv2D, Pad, Pads, Pool
from edgenet.graph.shapes import infer_shape, same_pads


def absorb_padding(graph: Graph) -> Graph:
    """Move zero padding into the convolutions that read it."""
    for node in reversed(graph.nodes):  # of two Pads in a row, the later one must move first
        if not isinstance(node.operator, Pad) or node.operator.value != 0 or node.output == graph.output:
            continue
        consumers = [n for n in graph.nodes if node.output in n.inputs]
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


def file_padding(operator: Conv2D | DepthwiseConv2D | Pool, size: tuple[int, int]) -> str | None:
    """Return the .tflite name of this padding, "VALID" or "SAME", or None if it is neither.

    Args:
        operator: the padded operator.
        size: height and width of its input, on which SAME depends.
    """
    if not any(operator.pads):
        return "VALID"
    return "SAME" if operator.pads == same_pads(size, operator) else None


def lower_padding(graph: Graph) -> Graph:
    """Put a Pad before every operator whose padding is neither SAME nor VALID.

    Raises:
        EdgenetError: an average pooling has such a padding and does not count it; a Pad would be counted.
    """
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        operator = node.operator
        if isinstance(operator, WINDOWED):
            source = node.inputs[0]
            _, height, width, _ = graph.shapes[source]
            if file_padding(operator, (height, width)) is None:
                padding = Node(
                    f"{node.name}/pad", _padding_before(node), (source,), f"{source}/padded_for/{node.name}"
                )
                shapes[padding.output] = infer_shape(padding.operator, [graph.shapes[source]])
                nodes.append(padding)
                node = replace(node, operator=replace(operator, pads=Pads()), inputs=(padding.output,))
        nodes.append(node)
    return graph.with_nodes(nodes, shapes)


def _padding_before(node: Node) -> Pad:
    operator = node.operator
    assert isinstance(operator, WINDOWED)
    if isinstance(operator, Pool) and operator.kind == "average":
        raise EdgenetError(
            f"the average pooling '{node.name}' does not count its padding of {tuple(operator.pads)}",
            "use count_include_pad=True, or TensorFlow's SAME padding",
        )
    return Pad(operator.pads, float("-inf") if isinstance(operator, Pool) else 0.0)
