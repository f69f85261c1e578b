"""Builds a graph node by node, infers the shape of every tensor from its operator, and counts what the shapes cost.

TensorFlow's SAME padding is computed here too, because the shape of a padded output depends on it. The cost of a graph
is its mult-adds, its parameters and the peak memory of its activations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgenet.errors import EdgenetError
from edgenet.graph.ir import (
    WEIGHTED,
    WINDOWED,
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    LeakyRelu,
    MatMul,
    Mean,
    Node,
    Operator,
    Pad,
    Pads,
    PixelEncoding,
    Pool,
    PRelu,
    Reduce,
    Reshape,
    Resize,
    Shape,
    Slice,
    Softmax,
    Standardize,
    Transpose,
    Unary,
    Weighted,
    Windowed,
    WithConstant,
)


class GraphBuilder:
    """Collects the nodes of one `Graph`; the readers add to it."""

    def __init__(self, name: str, input_name: str, input_shape: Shape) -> None:
        self.name = name
        self.input = input_name
        self.shapes: dict[str, Shape] = {input_name: input_shape}
        self.nodes: list[Node] = []

    def add(self, operator: Operator, inputs: list[str], name: str) -> str:
        """Add one node and return the name of the tensor it produces: `name`, numbered if taken.

        Raises:
            EdgenetError: the inputs' shapes do not fit the operator, or the result is empty or too large.
        """
        output = self.unique(name)
        try:
            self.shapes[output] = infer_shape(operator, [self.shapes[tensor] for tensor in inputs])
            _check_size(self.shapes[output])
        except EdgenetError as error:
            raise EdgenetError(f"at node '{name}': {error.found}", error.remedy) from None
        self.nodes.append(Node(output, operator, tuple(inputs), output))
        return output

    def unique(self, name: str) -> str:
        """Return `name`, or `name` with numbers appended until no tensor has it."""
        candidate, number = name, 1
        while candidate in self.shapes:
            candidate, number = f"{name}_{number}", number + 1
        return candidate

    def graph(self, output: str, pixels: PixelEncoding | None = None) -> Graph:
        """Return the finished graph."""
        return Graph(self.name, tuple(self.nodes), self.input, output, dict(self.shapes), pixels)


LARGEST_TENSOR = 2**28
"""The most values in one tensor, 1 GiB as float32: a damaged file must not fill the memory."""
LARGEST_SIDE = 8192
"""The most pixels in the height or width of an input picture, for the same reason."""


def _check_size(shape: Shape) -> None:
    """Raise EdgenetError for a tensor that is empty or larger than any classifier needs."""
    if not 0 < math.prod(shape) <= LARGEST_TENSOR:
        raise EdgenetError(f"a tensor {list(shape)} is empty or too large", "export the network again")


def infer_shape(operator: Operator, inputs: list[Shape]) -> Shape:
    """Return the shape of the operator's output.

    Raises:
        EdgenetError: the inputs' shapes do not fit the operator.
    """
    needed = 2 if isinstance(operator, Binary | MatMul) else 1
    if len(inputs) < needed or (len(inputs) > needed and not isinstance(operator, Concat)):
        raise EdgenetError(f"a {type(operator).__name__} got {len(inputs)} inputs but takes {needed}")
    first = inputs[0]
    _check_rank(operator, first)
    if isinstance(operator, WINDOWED):
        _check_window(operator)
    if isinstance(operator, WEIGHTED):
        _check_weights(operator)
    match operator:
        case Conv2D():
            if operator.weight.shape[3] * operator.groups != first[3]:
                raise _channel_mismatch(operator, operator.weight.shape, first)
            return (first[0], *_window_output(operator, first), operator.weight.shape[0])
        case DepthwiseConv2D():
            if operator.weight.shape[0] != 1 or operator.weight.shape[3] % first[3]:
                raise _channel_mismatch(operator, operator.weight.shape, first)
            return (first[0], *_window_output(operator, first), operator.weight.shape[3])
        case Pool():
            return (first[0], *_window_output(operator, first), first[3])
        case FullyConnected():
            if operator.weight.shape[1] != first[-1]:
                raise _channel_mismatch(operator, operator.weight.shape, first)
            return (*first[:-1], operator.weight.shape[0])
        case Affine() | Binary():
            own = [operator.scale.shape, operator.offset.shape] if isinstance(operator, Affine) else []
            others = own or inputs[1:]
            shape = _broadcast([first, *others])
            if own and shape != first:
                raise EdgenetError(
                    f"an Affine for {max(map(max, others))} channels got a tensor {list(first)}"
                )
            return shape
        case Unary() | Softmax() | LeakyRelu() | Standardize():
            return first
        case Mean():
            return (first[0], 1, 1, first[3]) if operator.keep_dims else (first[0], first[3])
        case Pad():
            top, bottom, left, right = operator.pads
            if min(operator.pads) < 0:
                raise EdgenetError(f"a Pad has the padding {list(operator.pads)}", "none may be negative")
            return (first[0], first[1] + top + bottom, first[2] + left + right, first[3])
        case Concat():
            return _concatenated(inputs, operator.axis)
        case Reshape():
            if math.prod(operator.shape) != math.prod(first):
                raise EdgenetError(
                    f"a Reshape from {list(first)} to {list(operator.shape)} changes the number of values"
                )
            return operator.shape
        case Transpose():
            return tuple(first[axis] for axis in operator.permutation)
    return _other_shape(operator, inputs)


def _other_shape(operator: Operator, inputs: list[Shape]) -> Shape:
    """Return the output's shape of the operators that no MobileNet has."""
    first = inputs[0]
    match operator:
        case PRelu():
            if operator.slope.shape != first[-1:]:
                raise _channel_mismatch(operator, operator.slope.shape, first)
            return first
        case Slice():
            return tuple(
                len(range(begin, end, step))
                for begin, end, step in zip(operator.begin, operator.end, operator.stride, strict=True)
            )
        case Resize():
            return (first[0], *operator.size, first[3])
        case Reduce():
            return tuple(1 if axis in operator.axes else n for axis, n in enumerate(first))
        case MatMul():
            return _product(operator, first, inputs[1])
        case WithConstant():
            if operator.kind == "concat":
                return _concatenated([operator.value.shape, first], operator.axis)
            return _broadcast([first, operator.value.shape])
    raise TypeError(f"no shape rule for {type(operator).__name__}")


def _check_rank(operator: Operator, shape: Shape) -> None:
    """Raise EdgenetError for a wrong number of axes, so that the shape rules can index axes safely."""
    pictures = isinstance(operator, (*WINDOWED, Mean, Pad, Resize))
    ranks = {Conv2D: 4, DepthwiseConv2D: 4, FullyConnected: 2}
    if isinstance(operator, WEIGHTED) and operator.weight.ndim != ranks[type(operator)]:
        raise EdgenetError(f"a {type(operator).__name__} has a weight {list(operator.weight.shape)}")
    wrong_order = isinstance(operator, Transpose) and sorted(operator.permutation) != list(range(len(shape)))
    if (
        (pictures and len(shape) != 4)
        or wrong_order
        or (isinstance(operator, Concat) and operator.axis >= len(shape))
        or (isinstance(operator, Slice) and len(operator.begin) != len(shape))
        or (isinstance(operator, Standardize | Reduce) and max(operator.axes) >= len(shape))
    ):
        raise EdgenetError(f"a {type(operator).__name__} got a tensor {list(shape)} with {len(shape)} axes")


def _check_window(operator: Windowed) -> None:
    kind = type(operator).__name__
    numbers = {"window": operator.kernel, "stride": operator.stride, "dilation": operator.dilation}
    for what, (height, width) in numbers.items():
        if min(height, width) < 1:
            raise EdgenetError(f"a {kind} has the {what} {height}x{width}", "each must be 1 or more")
    if min(operator.pads) < 0:
        raise EdgenetError(f"a {kind} has the padding {list(operator.pads)}", "none may be negative")


def _check_weights(operator: Weighted) -> None:
    outputs = operator.weight.shape[-1 if isinstance(operator, DepthwiseConv2D) else 0]
    groups = operator.groups if isinstance(operator, Conv2D) else 1
    if operator.bias.shape != (outputs,) or groups < 1 or outputs % groups:
        raise EdgenetError(
            f"a {type(operator).__name__} with a weight {list(operator.weight.shape)} has {groups} groups and "
            f"biases {list(operator.bias.shape)}, which do not fit together"
        )


def _window_output(operator: Windowed, shape: Shape) -> tuple[int, int]:
    pads = operator.pads
    padded = (shape[1] + pads.top + pads.bottom, shape[2] + pads.left + pads.right)
    _check_size((*padded, shape[3]))
    reach = [(k - 1) * d + 1 for k, d in zip(operator.kernel, operator.dilation, strict=True)]
    if padded[0] < reach[0] or padded[1] < reach[1]:
        raise EdgenetError(
            f"a {type(operator).__name__} with a {reach[0]}x{reach[1]} window got a {padded[0]}x{padded[1]} picture",
            "use a larger input resolution",
        )
    height, width = (
        (n - r) // stride + 1 for n, r, stride in zip(padded, reach, operator.stride, strict=True)
    )
    return height, width


def _concatenated(shapes: list[Shape], axis: int) -> Shape:
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) > 1:
        raise EdgenetError(f"a Concat along axis {axis} got {[list(shape) for shape in shapes]}")
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _product(operator: MatMul, left: Shape, right: Shape) -> Shape:
    rows, columns = (-1, -2) if operator.transpose_second else (-2, -1)
    if len(left) != len(right) or len(left) < 2 or left[-1] != right[rows]:
        raise EdgenetError(f"a MatMul got {list(left)} and {list(right)}, which do not fit")
    return (*_broadcast([left[:-2], right[:-2]]), left[-2], right[columns])


def _broadcast(shapes: list[Shape]) -> Shape:
    try:
        return tuple(int(n) for n in np.broadcast_shapes(*shapes))
    except ValueError:
        raise EdgenetError(
            f"an elementwise operator got shapes that do not broadcast: {[list(s) for s in shapes]}"
        ) from None


def _channel_mismatch(operator: Operator, weight: Shape, shape: Shape) -> EdgenetError:
    kind = type(operator).__name__
    return EdgenetError(f"a {kind} with a weight {list(weight)} got {shape[-1]} channels in {list(shape)}")


def same_pads(size: tuple[int, int], operator: Windowed) -> Pads:
    """Return TensorFlow's SAME padding for a picture of this height and width.

    The output has ceil(n / stride) positions. The padding that the windows need is split between both sides;
    an odd pixel goes to the bottom or right (tf.nn documentation, "Padding").
    """
    (top, bottom), (left, right) = (
        _same_pads_along(n, kernel, stride, dilation)
        for n, kernel, stride, dilation in zip(
            size, operator.kernel, operator.stride, operator.dilation, strict=True
        )
    )
    return Pads(top, bottom, left, right)


def _same_pads_along(n: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    positions = -(-n // stride)
    total = max((positions - 1) * stride + (kernel - 1) * dilation + 1 - n, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Cost:
    """The cost of a graph for one picture.

    Attributes:
        mult_adds: multiplications of the convolutions and fully connected layers (as counted in
            arXiv 1704.04861, section 3.1); elementwise work is left out.
        parameters: weights and biases that the file holds, with batch norm folded.
        peak_activation_values: the most activation values in memory at the same time if no operator works in
            place; a value takes one byte in int8, four in float32.
    """

    mult_adds: int
    parameters: int
    peak_activation_values: int


def cost(graph: Graph) -> Cost:
    """Count a graph's cost for one picture."""
    weighted = [node.operator for node in graph.nodes if isinstance(node.operator, WEIGHTED)]
    return Cost(
        mult_adds=sum(node_mult_adds(graph, node) for node in graph.nodes),
        parameters=sum(operator.weight.size + operator.bias.size for operator in weighted),
        peak_activation_values=_peak(graph),
    )


def node_mult_adds(graph: Graph, node: Node) -> int:
    """Return a node's mult-adds: its output values times the factors that each one sums; 0 without products."""
    outputs = math.prod(graph.shapes[node.output])
    match node.operator:
        case Conv2D(weight=weight):
            return outputs * math.prod(weight.shape[1:])
        case DepthwiseConv2D(weight=weight):
            return outputs * math.prod(weight.shape[1:3])
        case FullyConnected(weight=weight):
            return outputs * weight.shape[1]
        case MatMul():
            return outputs * graph.shapes[node.inputs[0]][-1]
    return 0


def _peak(graph: Graph) -> int:
    last_use = {name: step for step, node in enumerate(graph.nodes) for name in node.inputs}
    last_use[graph.output] = len(graph.nodes)
    alive = {graph.input}
    peak = 0
    for step, node in enumerate(graph.nodes):
        alive.add(node.output)
        peak = max(peak, sum(math.prod(graph.shapes[name]) for name in alive))
        alive = {name for name in alive if last_use.get(name, -1) > step}
    return peak
