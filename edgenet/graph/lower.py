"""Lowers a simplified graph: replaces the operators that a .tflite file lacks by ones that it has.

- A hard_sigmoid becomes relu6(x + 3) / 6, and most of that folds into the neighbouring layers (`lower_gates`).
- For int8, a hard_swish gets the scale with which XNNPACK runs it (`graph.xnnpack_forms`).
- For int8, what has a prescribed scale gets another one before it is concatenated (`own_scales_before_concats`).
- An `Affine` that could not be folded becomes a depthwise 1x1 convolution (`lower_affine`).
- A .tflite convolution knows two paddings, SAME (TensorFlow's rule) and VALID (none). Any other padding becomes
  a PAD operator before the convolution (`lower_padding`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.errors import EdgenetError
from edgenet.graph.fold import absorb_padding, can_fold_affine, fold_affine, fold_border, fuse_activations
from edgenet.graph.ir import (
    MOVING,
    WINDOWED,
    Activation,
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    Graph,
    Node,
    Operator,
    Pad,
    Pads,
    Pool,
    Reshape,
    Shape,
    Slice,
    Softmax,
    Transpose,
    Unary,
    WithConstant,
    float_only,
)
from edgenet.graph.shapes import infer_shape, same_pads
from edgenet.graph.xnnpack_forms import (
    average_as_depthwise,
    average_as_mean,
    nest_concats,
    never_negative,
    repeat_pixels,
    scale_hard_swish,
)


def lower(graph: Graph, exact_border: bool, whole_hard_swish: bool = False) -> Graph:
    """Return the graph made only of operators that a .tflite file has.

    Args:
        graph: from `simplify`.
        exact_border: for a float file: keep the normalization as an operator if folding it would change the picture's
            border. False for an int8 file, whose operators are those that XNNPACK runs in int8.
        whole_hard_swish: leave every hard_swish one operator also for int8, as other tools do.

    Raises:
        EdgenetError: an average pooling has a padding that a file cannot hold, or a function has no counterpart.
    """
    _check_functions(graph)
    graph = average_as_mean(graph)
    graph = graph if exact_border else absorb_padding(average_as_depthwise(fold_border(graph)))
    graph = graph if exact_border or whole_hard_swish else scale_hard_swish(graph)
    graph = lower_gates(graph)
    graph = graph if exact_border else own_scales_before_concats(graph)
    graph = fuse_activations(lower_affine(graph))
    return lower_padding(nest_concats(repeat_pixels(graph)))


def _check_functions(graph: Graph) -> None:
    """Refuse the functions that are read only as parts of others, or only at the end of a network."""
    for node in graph.nodes:
        if node.operator == Unary("erf"):
            raise EdgenetError(
                f"the erf at '{node.name}' is not part of a GELU, x * (1 + erf(x / sqrt(2))) / 2",
                "export the network with GELU",
            )
        if node.operator == Softmax(log=True):
            raise EdgenetError(
                f"the log-softmax at '{node.name}' is not the network's last operator",
                "export the network so that it ends in its scores",
            )


def lower_gates(graph: Graph) -> Graph:
    """Replace every hard_sigmoid by operators that a file has; fold most into neighbouring layers.

    Networks with squeeze-and-excite gates, x * hard_sigmoid(y), get as few operators and roundings as possible.
    hard_sigmoid(y) is relu6(y + 3) / 6. The 3 goes into the bias of the convolution that makes y, and relu6
    becomes its activation. The division by 6 moves after the product, and the next convolution folds it into
    its weights. An int8 gate is then rounded once, on a range from 0 to 6; y, whose range may be many times
    wider, is not rounded as well.
    """
    if not any(_is_hard_sigmoid(node) for node in graph.nodes):
        return graph
    graph = lower_hard_sigmoid(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.operator, Affine)]:
        graph = _scale_the_product(graph, graph.node(name))
    return fold_affine(graph)


def _is_hard_sigmoid(node: Node) -> bool:
    """Return whether this node is a hard_sigmoid, which .tflite files lack."""
    return isinstance(node.operator, Unary) and node.operator.kind == "hard_sigmoid"


def lower_hard_sigmoid(graph: Graph) -> Graph:
    """Replace hard_sigmoid(x) by relu6(x + 3) / 6, made of two Affines and a relu6."""
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        if not _is_hard_sigmoid(node):
            nodes.append(node)
            continue
        plus3, clipped = f"{node.output}/plus3", f"{node.output}/relu6"
        shapes |= {plus3: graph.shapes[node.output], clipped: graph.shapes[node.output]}
        nodes += [
            Node(f"{node.name}/plus3", _affine(1, 3), node.inputs, plus3),
            Node(f"{node.name}/relu6", Unary("relu6"), (plus3,), clipped),
            Node(node.name, _affine(1 / 6, 0), (clipped,), node.output),
        ]
    return graph.with_nodes(nodes, shapes)


def _affine(scale: float, offset: float) -> Affine:
    return Affine(np.full(1, scale, np.float32), np.full(1, offset, np.float32))


def _scale_the_product(graph: Graph, scaling: Node) -> Graph:
    """Turn (g * s) * x into (g * x) * s if all layers after the product can fold the scale s."""
    affine, readers = scaling.operator, graph.readers(scaling.output)
    assert isinstance(affine, Affine)
    if len(readers) != 1 or scaling.output == graph.output or not _is_plain_scale(affine):
        return graph
    product = readers[0]
    behind = graph.readers(product.output)
    if not _is_plain_product(product) or product.output == graph.output or not behind:
        return graph
    if product.inputs.count(scaling.output) != 1:
        return graph  # a product of the tensor with itself would need the scale twice
    if not all(can_fold_affine(node, affine) for node in behind):
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


def own_scales_before_concats(graph: Graph) -> Graph:
    """Put an Affine that changes nothing between values on a prescribed int8 scale and a Concat with other values.

    In int8 the picture, a sigmoid, a softmax and a tanh have prescribed scales, and so has what only moves their
    values. A Concat needs one scale for all of its inputs; the layer that the Affine becomes makes another one of it.
    """
    scales: dict[str, str | None] = {graph.input: "that of the picture"}
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        found = {scales[name] for name in node.inputs}
        if isinstance(node.operator, Concat) and len(found) > 1:
            rescaled = {
                name: f"{node.output}/scaled_{number}"
                for number, name in enumerate(node.inputs)
                if scales[name]
            }
            nodes += [Node(own, _affine(1, 0), (name,), own) for name, own in rescaled.items()]
            shapes |= {own: graph.shapes[name] for name, own in rescaled.items()}
            node, found = (
                replace(node, inputs=tuple(rescaled.get(name, name) for name in node.inputs)),
                {None},
            )
        nodes.append(node)
        scales[node.output] = _prescribed_scale(node.operator, found)
    return graph.with_nodes(nodes, shapes)


def _prescribed_scale(operator: Operator, before: set[str | None]) -> str | None:
    """Return a word for the int8 scale that is prescribed for an operator's output, or None.

    Args:
        operator: the operator.
        before: the same for its inputs.
    """
    if operator in (Unary("sigmoid"), Softmax()):
        return "0..1"
    if operator == Unary("tanh"):
        return "-1..1"
    moves = isinstance(operator, MOVING) or operator in (Unary("relu"), Unary("relu6"))
    return next(iter(before)) if moves else None


def lower_affine(graph: Graph) -> Graph:
    """Replace every Affine that could not be folded by a depthwise 1x1 convolution.

    This is one operator instead of a MUL and an ADD, and its int8 weights are quantized per channel. Beside an
    operator that is computed in float anyway, the Affine becomes a MUL and an ADD in float.
    """
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        if not isinstance(node.operator, Affine):
            nodes.append(node)
            continue
        if _beside_float(graph, node):
            nodes += _as_float_steps(graph, node, node.operator, shapes)
            continue
        shape = graph.shapes[node.inputs[0]]
        operator = _as_depthwise(node.operator, shape[-1])
        if len(shape) == 4:
            nodes.append(replace(node, operator=operator))
            continue
        before, after = f"{node.output}/as_picture", f"{node.output}/scaled"
        picture = (1, 1, int(np.prod(shape[:-1])), shape[-1])
        shapes |= {before: picture, after: picture}
        nodes += [
            Node(before, Reshape(picture), node.inputs, before),
            Node(node.name, operator, (before,), after),
            Node(f"{node.name}/as_vector", Reshape(shape), (after,), node.output),
        ]
    return graph.with_nodes(nodes, shapes)


def _beside_float(graph: Graph, node: Node) -> bool:
    """Return whether the node before, or one behind it or behind its moved values, is computed in float only."""
    before = graph.producers().get(node.inputs[0])
    if before is not None and float_only(before):
        return True
    waiting = graph.readers(node.output)
    while waiting:
        reader = waiting.pop()
        if float_only(reader):
            return True
        if isinstance(reader.operator, Reshape | Transpose | Slice):
            waiting += graph.readers(reader.output)
    return False


def _as_float_steps(graph: Graph, node: Node, affine: Affine, shapes: dict[str, Shape]) -> list[Node]:
    steps = [("mul", affine.scale)] if np.any(affine.scale != 1) else []
    steps += [("add", affine.offset)] if np.any(affine.offset) or not steps else []
    nodes, source = [], node.inputs[0]
    for number, (kind, value) in enumerate(steps):
        last = number == len(steps) - 1
        name, output = (node.name, node.output) if last else (f"{node.name}/{kind}",) * 2
        shapes[output] = graph.shapes[node.output]
        nodes.append(Node(name, WithConstant(kind, value), (source,), output))
        source = output
    return nodes


def _as_depthwise(affine: Affine, channels: int) -> DepthwiseConv2D:
    weight = np.broadcast_to(affine.scale, (channels,)).reshape(1, 1, 1, channels)
    bias = np.broadcast_to(affine.offset, (channels,))
    return DepthwiseConv2D(weight.copy(), bias.copy(), activation=Activation.NONE)


def lower_padding(graph: Graph) -> Graph:
    """Put a Pad before every operator whose padding is neither SAME nor VALID.

    Raises:
        EdgenetError: an average pooling has such a padding and does not count it; a Pad would be counted.
    """
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    positive = never_negative(graph)
    for node in graph.nodes:
        operator = node.operator
        if isinstance(operator, WINDOWED):
            source = node.inputs[0]
            _, height, width, _ = graph.shapes[source]
            if file_padding(operator, (height, width)) is None:
                pads = _padding_before(node, source in positive)
                padding = Node(f"{node.name}/pad", pads, (source,), f"{source}/padded_for/{node.name}")
                shapes[padding.output] = infer_shape(padding.operator, [graph.shapes[source]])
                nodes.append(padding)
                node = replace(node, operator=replace(operator, pads=Pads()), inputs=(padding.output,))
        nodes.append(node)
    return graph.with_nodes(nodes, shapes)


def file_padding(operator: Conv2D | DepthwiseConv2D | Pool, size: tuple[int, int]) -> str | None:
    """Return the .tflite name of this padding, "VALID" or "SAME", or None if it is neither.

    Args:
        operator: the padded operator.
        size: height and width of its input, on which SAME depends.
    """
    if not any(operator.pads):
        return "VALID"
    return "SAME" if operator.pads == same_pads(size, operator) else None


def _padding_before(node: Node, never_negative: bool) -> Pad:
    operator = node.operator
    assert isinstance(operator, WINDOWED)
    if isinstance(operator, Pool) and operator.kind == "average":
        raise EdgenetError(
            f"the average pooling '{node.name}' does not count its padding of {tuple(operator.pads)}",
            "use count_include_pad=True, or TensorFlow's SAME padding",
        )
    # XNNPACK pads with zeros only
    return Pad(operator.pads, float("-inf") if isinstance(operator, Pool) and not never_negative else 0.0)
