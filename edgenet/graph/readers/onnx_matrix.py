"""Rules for the ONNX operators with weights: convolutions and matrix products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.operators import Conv2D, DepthwiseConv2D, FullyConnected, Pads, Pool
from edgenet.graph.readers.translation import NCHW, Array, OnnxNode, Translation, Value, natural
from edgenet.graph.shapes import same_pads


def conv(state: Translation, node: OnnxNode) -> Value:
    """Translate Conv; with as many groups as channels it is a depthwise convolution."""
    source = state.picture(node)
    weight = state.weights(node, 1)
    if weight.ndim != 4:
        raise state.refuse(node, f"its weight has {weight.ndim} axes where a 2D convolution has 4")
    bias = np.zeros(len(weight), np.float32) if state.constant(node, 2) is None else state.weights(node, 2)
    groups = node.integer("group", 1)
    channels = state.builder.shapes[source][3]
    if weight.shape[1] * groups != channels or len(weight) % groups or bias.shape != (len(weight),):
        raise state.refuse(
            node, f"its weight {list(weight.shape)} with {groups} groups does not fit {channels} channels"
        )
    stride, dilation = pair(state, node, "strides"), pair(state, node, "dilations")
    operator: Conv2D | DepthwiseConv2D
    if groups == channels and groups > 1:
        kernel = np.ascontiguousarray(weight.transpose(1, 2, 3, 0))
        operator = DepthwiseConv2D(kernel, bias, stride, dilation)
    else:
        kernel = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
        operator = Conv2D(kernel, bias, stride, dilation, groups=groups)
    operator = replace(operator, pads=window_pads(state, node, source, operator))
    return Value(state.add(node, operator, [source]), NCHW)


def pair(state: Translation, node: OnnxNode, attribute: str) -> tuple[int, int]:
    """Return an attribute with one positive number each for height and width; (1, 1) if it is absent."""
    given = node.integers(attribute, (1, 1))
    if len(given) != 2 or min(given) < 1:
        raise state.refuse(node, f"its {attribute} are {list(given)} where two positive numbers are expected")
    return given[0], given[1]


def window_pads(
    state: Translation, node: OnnxNode, source: str, operator: Conv2D | DepthwiseConv2D | Pool
) -> Pads:
    """Return the padding of a convolution or pooling, from its `pads` or its `auto_pad` attribute."""
    automatic = node.text("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        _, height, width, _ = state.builder.shapes[source]
        same = same_pads((height, width), operator)
        return same if automatic == "SAME_UPPER" else Pads(same.bottom, same.top, same.right, same.left)
    if automatic == "VALID":
        return Pads()
    given = node.integers("pads", (0, 0, 0, 0))
    if len(given) != 4 or min(given) < 0:
        raise state.refuse(
            node, f"its pads are {list(given)}", "only padding by 0 or more pixels is supported"
        )
    top, left, bottom, right = given
    return Pads(top, bottom, left, right)


def gemm(state: Translation, node: OnnxNode) -> Value:
    """Translate Gemm with a constant matrix."""
    if node.integer("transA", 0):
        raise state.refuse(node, "it transposes its input", "export the classifier as nn.Linear")
    weight = _matrix(state, node)
    weight = weight if node.integer("transB", 0) else weight.T
    bias = np.zeros(1, np.float32) if state.constant(node, 2) is None else state.weights(node, 2)
    offsets = np.broadcast_to(bias * node.number("beta", 1.0), (1, len(weight)))[0]
    return _fully_connected(state, node, weight * node.number("alpha", 1.0), offsets)


def matmul(state: Translation, node: OnnxNode) -> Value:
    """Translate MatMul with a constant matrix on the right."""
    weight = _matrix(state, node)
    return _fully_connected(state, node, weight.T, np.zeros(weight.shape[1]))


def _matrix(state: Translation, node: OnnxNode) -> Array:
    weight = state.weights(node, 1)
    if weight.ndim != 2:
        raise state.refuse(node, f"its matrix has {weight.ndim} axes where 2 are supported")
    return weight


def _fully_connected(state: Translation, node: OnnxNode, weight: Array, bias: Array) -> Value:
    value = state.value(node)
    if value.axes != natural(value):
        value = state.in_order(node, value, natural(value))
    if not value.axes or weight.shape[1] != state.shape(value)[-1]:
        raise state.refuse(node, f"its matrix takes {weight.shape[1]} features")
    # for a picture that was flattened in NHWC, reordering the matrix once is cheaper than reordering the data
    columns = value.to_graph_order(weight)
    operator = FullyConnected(np.ascontiguousarray(columns, np.float32), np.array(bias, np.float32))
    return Value(state.add(node, operator, [value.tensor]), value.axes)
