"""Every ONNX operator that is taken, in its variants, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import Attributes, Onnx, check_against_onnxruntime

from edgenet.graph.ir import Graph
from edgenet.graph.operators import DepthwiseConv2D, Mean, Operator, Pad, Softmax, Transpose, Unary
from edgenet.graph.readers.onnx_operators import RULES

FLOAT32 = np.float32


def flat(net: Onnx, value: str) -> Graph:
    """Compares all values of a picture, flattened in ONNX's order."""
    return check_against_onnxruntime(net.model(net.op("Flatten", [value])))


def kinds(graph: Graph) -> list[type[Operator]]:
    return [type(node.operator) for node in graph.nodes]


# Convolutions and matrices ---------------------------------------------------------------------------------------

CONVOLUTIONS = {
    "plain": (6, 1, (3, 3), {}),
    "without bias": (6, 1, (1, 1), {"no_bias": True}),
    "stride 2, torch's padding": (6, 1, (3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "unequal padding": (6, 1, (3, 2), {"pads": [0, 1, 2, 0], "strides": [1, 2]}),
    "dilation": (6, 1, (3, 3), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    "SAME_UPPER": (6, 1, (4, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "SAME_LOWER": (6, 1, (4, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "VALID": (6, 1, (4, 3), {"strides": [2, 2], "auto_pad": "VALID"}),
    "2 groups": (8, 2, (3, 3), {"pads": [1, 1, 1, 1]}),
    "3 groups": (9, 3, (2, 2), {}),
    "depthwise": (6, 6, (3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "depthwise, multiplier 2": (12, 6, (3, 3), {}),
    "depthwise, dilated": (6, 6, (3, 3), {"dilations": [2, 2]}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_conv(name: str) -> None:
    outputs, groups, kernel, attributes = CONVOLUTIONS[name]
    given = dict(attributes)
    net = Onnx((1, 3, 9, 10))
    wide = net.conv("image", 6)
    weights = [net.random(outputs, 6 // groups, *kernel)]
    if not given.pop("no_bias", False):
        weights.append(net.random(outputs))
    graph = flat(net, net.op("Conv", [wide, *weights], {"group": groups, **given}))
    assert (DepthwiseConv2D in kinds(graph)[1:]) == (groups == 6)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}, {"transB": 1, "alpha": -1.5, "beta": 0.0}],
    ids=str,
)
@pytest.mark.parametrize("bias", ["none", "vector", "row", "scalar"])
def test_gemm(attributes: Attributes, bias: str) -> None:
    net = Onnx((1, 3, 2, 2))
    vector = net.op("Flatten", ["image"])
    matrix = net.random(5, 12) if attributes.get("transB") else net.random(12, 5)
    biases = {"none": [], "vector": [net.random(5)], "row": [net.random(1, 5)], "scalar": [net.constant(FLOAT32(0.7))]}
    check_against_onnxruntime(net.model(net.op("Gemm", [vector, matrix, *biases[bias]], attributes)))


def test_flattening_7x7_before_gemm_needs_no_transpose() -> None:
    net = Onnx((1, 3, 7, 7))
    relu = net.op("Relu", [net.op("Flatten", [net.conv("image", 8)])])
    graph = check_against_onnxruntime(net.model(net.op("Gemm", [relu, net.random(8 * 49, 4)])))
    assert Transpose not in kinds(graph)


def test_matmul_and_add_become_one_layer() -> None:
    net = Onnx((1, 3, 4, 4))
    mean = net.op("Flatten", [net.op("GlobalAveragePool", [net.conv("image", 8)])])
    product = net.op("MatMul", [mean, net.random(8, 5)])
    graph = check_against_onnxruntime(net.model(net.op("Add", [net.random(5), product])))
    assert len(graph.nodes) == 4  # normalization, convolution, mean, fully connected


def test_matmul_of_a_picture_works_on_its_last_axis() -> None:
    net = Onnx((1, 3, 4, 5))
    flat(net, net.op("MatMul", ["image", net.random(5, 6)]))


# Elementwise -----------------------------------------------------------------------------------------------------


def batch_norm(net: Onnx, value: str, channels: int) -> str:
    statistics = [net.random(channels), net.random(channels), net.random(channels)]
    variance = net.constant(np.abs(net.rng.normal(size=channels)).astype(FLOAT32))
    return net.op("BatchNormalization", [value, *statistics, variance], {"epsilon": 1e-3})


@pytest.mark.parametrize("place", ["behind conv", "before padded conv", "before conv", "on a vector", "alone"])
def test_batch_normalization(place: str) -> None:
    net = Onnx()
    match place:
        case "behind conv":
            graph = flat(net, batch_norm(net, net.conv("image", 5), 5))
            assert len(graph.nodes) == 5  # normalization, convolution, three that turn the flattened result
        case "before padded conv":
            flat(net, net.conv(net.op("Relu", [batch_norm(net, net.conv("image", 4), 4)]), 5, 4))
            flat(net, net.conv(batch_norm(net, net.op("Relu", [net.conv("image", 4)]), 4), 5, 4))
        case "before conv":
            normal = batch_norm(net, net.op("Relu", [net.conv("image", 4)]), 4)
            flat(net, net.op("Conv", [normal, net.random(6, 2, 3, 3)], {"group": 2}))
        case "on a vector":
            vector = net.op("Flatten", [net.op("GlobalMaxPool", [net.conv("image", 4)])])
            check_against_onnxruntime(net.model(batch_norm(net, net.op("Relu", [vector]), 4)))
        case "alone":
            flat(net, batch_norm(net, "image", 3))


SHAPES = [(), (1,), (6, 1, 1), (1, 6, 1, 1), (1, 1, 1), (1, 1, 1, 1)]


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arithmetic_with_a_constant(kind: str, shape: tuple[int, ...]) -> None:
    net = Onnx()
    constant = net.constant((net.rng.uniform(0.5, 2, shape) * net.rng.choice([-1, 1], shape)).astype(FLOAT32))
    value = net.op("Relu", [net.conv("image", 6)])
    changed = net.op(kind, [value, constant])
    if kind != "Div":
        changed = net.op(kind, [constant, changed])
    flat(net, net.op("Relu", [changed]))


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), (1, 1)], ids=str)
def test_arithmetic_with_a_constant_on_a_vector(shape: tuple[int, ...]) -> None:
    net = Onnx()
    vector = net.op("Relu", [net.op("Flatten", [net.op("GlobalAveragePool", [net.conv("image", 5)])])])
    check_against_onnxruntime(net.model(net.op("Mul", [net.random(*shape), net.op("Add", [vector, net.random(*shape)])])))


def test_constants_for_a_flattened_picture_are_reordered() -> None:
    net = Onnx((1, 3, 4, 5))
    flattened = net.op("Flatten", [net.conv("image", 6)])
    value = net.op("Add", [net.op("Mul", [flattened, net.random(120)]), net.random(1, 120)])
    graph = check_against_onnxruntime(net.model(net.op("Gemm", [value, net.random(120, 3)])))
    assert Transpose not in kinds(graph)


def test_a_flattened_picture_that_went_through_a_function_is_put_in_order() -> None:
    net = Onnx((1, 3, 4, 5))
    flattened = net.op("Sigmoid", [net.op("Flatten", [net.conv("image", 6)])])
    net.op("Reshape", [flattened, net.constant(np.array([1, 5, 24], np.int64))])
    check_against_onnxruntime(net.model(net.op("Flatten", [net.nodes[-1].output[0]])))


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
def test_arithmetic_of_two_tensors(kind: str) -> None:
    net = Onnx()
    left, right = net.conv("image", 6), net.conv("image", 6)
    flat(net, net.op("Relu", [net.op(kind, [left, right])]))


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("turned", [False, True])
def test_broadcasting_one_value_per_channel(kind: str, turned: bool) -> None:
    net = Onnx()
    value = net.conv("image", 6)
    gate = net.op("GlobalAveragePool", [value])
    flat(net, net.op(kind, [gate, value] if turned else [value, gate]))


def test_squeeze_and_excitation() -> None:
    net = Onnx()
    value = net.conv("image", 8)
    squeezed = net.op("ReduceMean", [value], {"axes": [2, 3], "keepdims": 0})
    hidden = net.op("Relu", [net.op("Gemm", [squeezed, net.random(8, 3), net.random(3)])])
    gate = net.op("HardSigmoid", [net.op("Gemm", [hidden, net.random(3, 8)])], {"alpha": 1 / 6})
    gate = net.op("Unsqueeze", [gate, net.constant(np.array([2, 3], np.int64))])
    graph = flat(net, net.conv(net.op("Mul", [gate, value]), 4, 8))
    assert kinds(graph).count(Transpose) == 1  # that of the flattened result


def test_adding_pictures_of_different_layout_turns_one() -> None:
    net = Onnx((1, 3, 6, 6))
    turned = net.op("Transpose", [net.conv("image", 6)], {"perm": [0, 2, 3, 1]})
    flat(net, net.op("Add", [net.op("Relu", [turned]), net.conv("image", 6)]))


@pytest.mark.parametrize(("low", "high", "kind"), [(0.0, 6.0, "relu6"), (0.0, None, "relu"), (0.0, 3.4e38, "relu")])
@pytest.mark.parametrize("opset", [10, 17])
def test_clip(low: float, high: float | None, kind: str, opset: int) -> None:
    net = Onnx(opset=opset)
    value = net.op("Mul", [net.conv("image", 4), net.constant(FLOAT32(5))])
    if opset == 10:
        clipped = net.op("Clip", [value], {"min": low, **({} if high is None else {"max": high})})
    else:
        bounds = [net.constant(FLOAT32(n)) for n in (low, high) if n is not None]
        clipped = net.op("Clip", [value, *bounds])
    weight = net.random(4, 1, 1, 1)
    graph = flat(net, net.op("Conv", [clipped, weight], {"group": 4}))
    fused = [getattr(node.operator, "activation", None) for node in graph.nodes]
    assert kind in fused


def test_hard_swish_as_operator_and_written_out() -> None:
    three, six = FLOAT32(3), FLOAT32(6)
    for style in ("operator", "x * hard_sigmoid", "x * (relu6 / 6)", "(x * relu6) / 6", "(relu6 * x) * (1 / 6)"):
        net = Onnx()
        x = net.op("Mul", [net.conv("image", 4), net.constant(FLOAT32(4))])
        if style == "operator":
            swished = net.op("HardSwish", [x])
        elif style == "x * hard_sigmoid":
            swished = net.op("Mul", [x, net.op("HardSigmoid", [x], {"alpha": 1 / 6})])
        else:
            shifted = net.op("Add", [x, net.constant(three)])
            gate = net.op("Clip", [shifted, net.constant(FLOAT32(0)), net.constant(six)])
            if style == "x * (relu6 / 6)":
                swished = net.op("Mul", [x, net.op("Div", [gate, net.constant(six)])])
            elif style == "(x * relu6) / 6":
                swished = net.op("Div", [net.op("Mul", [x, gate]), net.constant(six)])
            else:
                swished = net.op("Mul", [net.op("Mul", [gate, x]), net.constant(FLOAT32(1 / 6))])
        graph = flat(net, swished)
        operators = [node.operator for node in graph.nodes]
        assert operators[2] == Unary("hard_swish"), style
        assert not any(operator == Unary("relu6") for operator in operators), style


@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "HardSigmoid"])
def test_activation(kind: str) -> None:
    net = Onnx()
    attributes = {"alpha": 1 / 6} if kind == "HardSigmoid" else {}
    flat(net, net.op(kind, [net.op("Mul", [net.conv("image", 4), net.constant(FLOAT32(4))])], attributes))


def test_softmax_at_the_end_is_left_to_the_file() -> None:
    net = Onnx()
    vector = net.op("Flatten", [net.op("GlobalAveragePool", [net.conv("image", 5)])])
    graph = check_against_onnxruntime(net.model(net.op("Softmax", [vector], {"axis": 1})), softmax=True)
    assert kinds(graph)[-1] is Mean


def test_softmax_over_channels_before_flattening_is_left_to_the_file() -> None:
    net = Onnx()
    scores = net.op("Softmax", [net.op("GlobalAveragePool", [net.conv("image", 5)])], {"axis": 1})
    vector = net.op("Squeeze", [scores, net.constant(np.array([2, 3], np.int64))])
    graph = check_against_onnxruntime(net.model(vector), softmax=True)
    assert Softmax not in kinds(graph)


def test_softmax_inside() -> None:
    net = Onnx()
    scores = net.op("Softmax", [net.conv("image", 5)], {"axis": 1})
    flat(net, net.op("Mul", [scores, net.conv("image", 5)]))


# Pooling, reductions, padding ------------------------------------------------------------------------------------

POOLINGS: dict[str, Attributes] = {
    "plain": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "default stride": {"kernel_shape": [2, 3]},
    "padded": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "ceil": {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    "ceil without a window beyond": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    "SAME_UPPER": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "VALID": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"},
}


@pytest.mark.parametrize("name", POOLINGS)
def test_max_pool(name: str) -> None:
    net = Onnx((1, 3, 9, 10))
    flat(net, net.op("MaxPool", [net.conv("image", 4)], POOLINGS[name]))


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("name", POOLINGS)
def test_average_pool(name: str, include: int) -> None:
    net = Onnx((1, 3, 9, 9))  # where padding by 1 at stride 2 is SAME
    value = net.op("AveragePool", [net.conv("image", 4)], {**POOLINGS[name], "count_include_pad": include})
    graph = flat(net, value)
    padded = include and ("pads" in POOLINGS[name] or name == "SAME_UPPER")
    assert (Pad in kinds(graph)) == bool(padded)


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pool(kind: str) -> None:
    net = Onnx((1, 3, 5, 6))
    flat(net, net.op(kind, [net.conv("image", 4)]))


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "ReduceMax"])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize(("axes", "opset"), [([2, 3], 11), ([-1, -2], 18), ([3, 2], 13)], ids=str)
def test_reduction(kind: str, keep: int, axes: list[int], opset: int) -> None:
    net = Onnx((1, 3, 5, 6), opset)
    value, attributes = net.conv("image", 4), {"keepdims": keep}
    if opset >= 18 or (opset >= 13 and kind == "ReduceSum"):
        reduced = net.op(kind, [value, net.constant(np.array(axes, np.int64))], attributes)
    else:
        reduced = net.op(kind, [value], {**attributes, "axes": axes})
    flat(net, net.op("Relu", [reduced]))


PADDINGS = [
    (10, {"pads": [0, 0, 1, 0, 0, 0, 2, 1]}, [], ["Conv"]),
    (17, {}, [np.array([0, 0, 1, 0, 0, 0, 2, 1], np.int64)], ["Conv"]),
    (17, {}, [np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), FLOAT32(0)], ["Conv", "Conv"]),
    (18, {"mode": "constant"}, [np.array([1, 0, 0, 2], np.int64), FLOAT32(0), np.array([2, -1], np.int64)], ["Conv"]),
    (17, {}, [np.array([0, 0, 1, 0, 0, 0, 2, 1], np.int64)], ["Relu"]),
    (17, {}, [np.zeros(8, np.int64)], ["Relu"]),
]


@pytest.mark.parametrize(("opset", "attributes", "inputs", "readers"), PADDINGS, ids=str)
def test_pad(opset: int, attributes: Attributes, inputs: list[np.ndarray], readers: list[str]) -> None:
    net = Onnx(opset=opset)
    padded = net.op("Pad", [net.conv("image", 4), *(net.constant(value) for value in inputs)], attributes)
    results = [net.conv(padded, 4, 4) if reader == "Conv" else net.op("Relu", [padded]) for reader in readers]
    graph = flat(net, net.op("Add", results) if len(results) == 2 else results[0])
    if readers[0] == "Conv" and opset == 10:
        assert kinds(graph).count(Pad) == 1  # taken into the convolution, and put out again as it is not SAME


def test_two_paddings_in_a_row_become_one() -> None:
    net = Onnx()
    value = net.conv("image", 4)
    for amounts in ([0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]):
        value = net.op("Pad", [value, net.constant(np.array(amounts, np.int64))])
    assert kinds(flat(net, net.conv(value, 4, 4))).count(Pad) == 1


# Shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_concat_of_pictures(axis: int) -> None:
    net = Onnx()
    flat(net, net.op("Concat", [net.conv("image", 4), net.conv("image", 4), "image"][: 3 if axis == 1 else 2], {"axis": axis}))


def test_concat_of_flattened_pictures() -> None:
    net = Onnx()
    parts = [net.op("Flatten", [net.conv("image", 4)]), net.op("Flatten", ["image"])]
    check_against_onnxruntime(net.model(net.op("Concat", parts, {"axis": 1})))


RESHAPES: dict[str, list[int]] = {
    "flatten": [1, -1],
    "keep batch": [0, -1],
    "to columns": [0, 0, -1],
    "other picture": [1, 8, 4, 4],
    "channel groups": [1, 2, 4, 4, 4],
}


@pytest.mark.parametrize("name", RESHAPES)
def test_reshape(name: str) -> None:
    net = Onnx((1, 3, 4, 4))
    value = net.conv("image", 8)
    value = net.op("Reshape", [value, net.constant(np.array(RESHAPES[name], np.int64))])
    flat(net, value)


def test_channel_shuffle() -> None:
    net = Onnx((1, 3, 4, 4))
    groups = net.op("Reshape", [net.conv("image", 8), net.constant(np.array([1, 2, 4, 4, 4], np.int64))])
    turned = net.op("Transpose", [groups], {"perm": [0, 2, 1, 3, 4]})
    shuffled = net.op("Reshape", [turned, net.constant(np.array([1, 8, 4, 4], np.int64))])
    flat(net, net.conv(shuffled, 5, 8))


def test_squeeze_unsqueeze_and_identities() -> None:
    net = Onnx((1, 3, 4, 4))
    pooled = net.op("Dropout", [net.op("Identity", [net.op("GlobalAveragePool", [net.conv("image", 6)])])])
    vector = net.op("Squeeze", [pooled, net.constant(np.array([2, -1], np.int64))])
    picture = net.op("Unsqueeze", [vector, net.constant(np.array([-1, 2], np.int64))])
    final = net.op("Conv", [picture, net.random(5, 6, 1, 1)])
    graph = check_against_onnxruntime(net.model(net.op("Squeeze", [final])))  # all axes of one, the batch too
    assert graph.shapes[graph.output] == (1, 5)


@pytest.mark.parametrize("opset", [11, 17])
def test_squeeze_axes_as_attribute_and_input(opset: int) -> None:
    net = Onnx((1, 3, 4, 4), opset)
    pooled = net.op("GlobalAveragePool", [net.conv("image", 6)])
    axes = {"axes": [2, 3]} if opset == 11 else {}
    inputs = [] if opset == 11 else [net.constant(np.array([2, 3], np.int64))]
    vector = net.op("Squeeze", [pooled, *inputs], axes)
    picture = net.op("Unsqueeze", [vector, *inputs], axes)
    check_against_onnxruntime(net.model(net.op("Flatten", [picture], {"axis": -3})))


def test_input_in_nhwc_as_tf2onnx_writes_it() -> None:
    net = Onnx((1, 8, 9, 3))
    value = net.op("Transpose", ["image"], {"perm": [0, 3, 1, 2]})
    value = net.op("Relu", [net.conv(value, 6)])
    value = net.op("Transpose", [value], {"perm": [0, 2, 3, 1]})
    value = net.op("Add", [value, net.random(6)])  # in NHWC: along the last axis
    value = net.op("Pad", [value, net.constant(np.array([0, 0, 0, 0, 0, 1, 1, 0], np.int64))])
    mean = net.op("ReduceMean", [value], {"axes": [1, 2], "keepdims": 0})
    graph = check_against_onnxruntime(net.model(net.op("Gemm", [mean, net.random(6, 4)])))
    assert Transpose not in kinds(graph)


def test_flattening_in_nhwc_needs_no_transpose() -> None:
    net = Onnx((1, 3, 4, 5))
    value = net.op("Transpose", [net.conv("image", 6)], {"perm": [0, 2, 3, 1]})
    graph = check_against_onnxruntime(net.model(net.op("Gemm", [net.op("Flatten", [value]), net.random(120, 4)])))
    assert Transpose not in kinds(graph)


def test_shape_computed_from_the_input_is_a_constant() -> None:
    net = Onnx((1, 3, 4, 4), opset=15)
    value = net.conv("image", 8)
    shape = net.op("Shape", [value])
    batch = net.op("Gather", [shape, net.constant(np.array(0, np.int64))], {"axis": 0})
    batch = net.op("Unsqueeze", [batch, net.constant(np.array([0], np.int64))])
    channels = net.op("Shape", [value], {"start": 1, "end": 2})
    rest = net.op("Shape", [value], {"start": -2})
    area = net.op("ReduceProd", [rest], {"keepdims": 1})
    target = net.op("Concat", [batch, net.op("Mul", [channels, area])], {"axis": 0})
    graph = check_against_onnxruntime(net.model(net.op("Gemm", [net.op("Reshape", [value, target]), net.random(128, 4)])))
    assert len(graph.nodes) == 4


def test_every_rule_is_tested_here() -> None:
    source = Path(__file__).read_text()
    assert [kind for kind in RULES if f'"{kind}"' not in source] == []
