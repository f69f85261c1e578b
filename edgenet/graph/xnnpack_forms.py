"""Forms of operators that XNNPACK runs, for operators that it does not run as they are.

Each operator outside XNNPACK parts the network: what comes before it and after it run as separate parts. All rewrites
here give the same numbers, or in int8 the same integers.

XNNPACK has no int8 HARD_SWISH. LiteRT's own kernel is slow, and every one of them parts the network. But with x =
sqrt(6) u, hard_swish(x) = x relu6(x + 3) / 6 is u * clip(u + 3 / sqrt(6), 0, sqrt(6)): an addition and a
multiplication.

The layer that makes x makes u instead: its weights and bias are divided by sqrt(6), which leaves its int8 weights as
they are. The addition needs no clip: its int8 output holds the values from 0 to sqrt(6), and saturates at both ends.
The multiplication needs no division.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.fold import fold_affine
from edgenet.graph.ir import (
    Activation,
    Affine,
    Binary,
    Concat,
    DepthwiseConv2D,
    Graph,
    Mean,
    Node,
    Operator,
    Pad,
    Pool,
    Reshape,
    Resize,
    Shape,
    Slice,
    Softmax,
    Transpose,
    Unary,
)

MOST_JOINED = 4
"""The most tensors that one CONCATENATION joins in XNNPACK."""


def nest_concats(graph: Graph) -> Graph:
    """Part every Concat of many tensors into several of at most MOST_JOINED.

    The result of an earlier Concat is used again where a later one begins with the same tensors, as in a DenseNet.
    """
    made: dict[tuple[int, tuple[str, ...]], str] = {}
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        if isinstance(node.operator, Concat):
            axis = node.operator.axis
            inputs = _with_known_beginning(made, axis, node.inputs)
            while len(inputs) > MOST_JOINED:
                name = f"{node.output}/first_{len(shapes)}"
                shapes[name] = _joined(graph, shapes, axis, inputs[:MOST_JOINED])
                nodes.append(Node(name, node.operator, inputs[:MOST_JOINED], name))
                inputs = (name, *inputs[MOST_JOINED:])
            made[axis, node.inputs] = node.output
            node = replace(node, inputs=inputs)
        nodes.append(node)
    return graph.with_nodes(nodes, shapes)


def _with_known_beginning(
    made: dict[tuple[int, tuple[str, ...]], str], axis: int, inputs: tuple[str, ...]
) -> tuple[str, ...]:
    """Replace the longest beginning that an earlier Concat has joined by its result."""
    if len(inputs) <= MOST_JOINED:
        return inputs
    for length in range(len(inputs) - 1, 1, -1):
        known = made.get((axis, inputs[:length]))
        if known is not None:
            return (known, *inputs[length:])
    return inputs


def _joined(graph: Graph, new: dict[str, Shape], axis: int, inputs: tuple[str, ...]) -> Shape:
    shapes = [new.get(name) or graph.shapes[name] for name in inputs]
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def repeat_pixels(graph: Graph) -> Graph:
    """Write every nearest-pixel enlargement by whole factors as Concats of a tensor with itself and Reshapes.

    [H, W, C] joined with itself along the channels is [H, W, 2 C], which has the same order as [H, 2 W, C].
    """
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        operator = node.operator
        _, height, width, channels = (*graph.shapes[node.inputs[0]], 0, 0, 0)[:4]
        whole = isinstance(operator, Resize) and not (operator.size[0] % height or operator.size[1] % width)
        if not (
            isinstance(operator, Resize)
            and operator.kind == "nearest"
            and whole
            and not operator.align_corners
        ):
            nodes.append(node)
            continue
        down, right = operator.size[0] // height, operator.size[1] // width
        steps: list[tuple[str, Operator, Shape]] = []
        if right > 1:
            steps.append(("columns", Concat(3), (1, height, width, channels * right)))
        row = width * right * channels
        steps.append(("rows", Reshape((1, height, 1, row)), (1, height, 1, row)))
        if down > 1:
            steps.append(("twice", Concat(2), (1, height, down, row)))
        source = node.inputs[0]
        for what, step, shape in steps:
            name = f"{node.output}/{what}"
            times = {"columns": right, "twice": down}.get(what, 1)
            nodes.append(Node(name, step, (source,) * times, name))
            shapes[name] = shape
            source = name
        nodes.append(replace(node, operator=Reshape(graph.shapes[node.output]), inputs=(source,)))
    return graph.with_nodes(nodes, shapes)


def average_as_depthwise(graph: Graph) -> Graph:
    """Write every average pooling without padding as a depthwise convolution: XNNPACK has no int8 average pooling."""
    nodes = []
    for node in graph.nodes:
        operator = node.operator
        if isinstance(operator, Pool) and operator.kind == "average" and not any(operator.pads):
            channels = graph.shapes[node.output][3]
            height, width = operator.size
            weight = np.full((1, height, width, channels), 1 / (height * width), np.float32)
            bias = np.zeros(channels, np.float32)
            node = replace(node, operator=DepthwiseConv2D(weight, bias, operator.stride))
        nodes.append(node)
    return graph.with_nodes(nodes)


def average_as_mean(graph: Graph) -> Graph:
    """Write an average pooling over the whole picture as a mean."""
    nodes = []
    for node in graph.nodes:
        operator = node.operator
        if isinstance(operator, Pool) and operator.kind == "average" and not any(operator.pads):
            _, height, width, _ = graph.shapes[node.inputs[0]]
            node = replace(node, operator=Mean()) if operator.size == (height, width) else node
        nodes.append(node)
    return graph.with_nodes(nodes)


def never_negative(graph: Graph) -> set[str]:
    """Return the tensors that hold no value below 0: there, zeros pad a max pooling as well as -inf does."""
    found: set[str] = set()
    for node in graph.nodes:
        operator = node.operator
        activation = getattr(operator, "activation", Activation.NONE)
        gives = activation is not Activation.NONE or isinstance(operator, Softmax)
        gives |= isinstance(operator, Unary) and operator.kind in ("relu", "relu6", "sigmoid", "hard_sigmoid")
        keeps = isinstance(operator, Pool | Mean | Reshape | Transpose | Slice | Concat | Resize)
        keeps |= isinstance(operator, Pad) and operator.value == 0
        keeps |= isinstance(operator, Binary) and operator.kind in ("add", "mul")
        if gives or (keeps and found.issuperset(node.inputs)):
            found.add(node.output)
    return found


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
