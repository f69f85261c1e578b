"""Every supported ONNX operator, in its variants, compared with onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import Attributes, Onnx, check_against_onnxruntime, check_picture, kinds

from edgenet.graph.ir import DepthwiseConv2D, Pad, Transpose
from edgenet.graph.onnx_operators import RULES

FLOAT32 = np.float32


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
    graph = check_picture(net, net.op("Conv", [wide, *weights], {"group": groups, **given}))
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
    biases = {
        "none": [],
        "vector": [net.random(5)],
        "row": [net.random(1, 5)],
        "scalar": [net.constant(FLOAT32(0.7))],
    }
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
    check_picture(net, net.op("MatMul", ["image", net.random(5, 6)]))


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
    check_picture(net, net.op("MaxPool", [net.conv("image", 4)], POOLINGS[name]))


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("name", POOLINGS)
def test_average_pool(name: str, include: int) -> None:
    net = Onnx((1, 3, 9, 9))  # where padding by 1 at stride 2 is SAME
    value = net.op("AveragePool", [net.conv("image", 4)], {**POOLINGS[name], "count_include_pad": include})
    graph = check_picture(net, value)
    padded = include and ("pads" in POOLINGS[name] or name == "SAME_UPPER")
    assert (Pad in kinds(graph)) == bool(padded)


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pool(kind: str) -> None:
    net = Onnx((1, 3, 5, 6))
    check_picture(net, net.op(kind, [net.conv("image", 4)]))


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
    check_picture(net, net.op("Relu", [reduced]))


PADDINGS = [
    (10, {"pads": [0, 0, 1, 0, 0, 0, 2, 1]}, [], ["Conv"]),
    (17, {}, [np.array([0, 0, 1, 0, 0, 0, 2, 1], np.int64)], ["Conv"]),
    (17, {}, [np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), FLOAT32(0)], ["Conv", "Conv"]),
    (
        18,
        {"mode": "constant"},
        [np.array([1, 0, 0, 2], np.int64), FLOAT32(0), np.array([2, -1], np.int64)],
        ["Conv"],
    ),
    (17, {}, [np.array([0, 0, 1, 0, 0, 0, 2, 1], np.int64)], ["Relu"]),
    (17, {}, [np.zeros(8, np.int64)], ["Relu"]),
]


@pytest.mark.parametrize(("opset", "attributes", "inputs", "readers"), PADDINGS, ids=str)
def test_pad(opset: int, attributes: Attributes, inputs: list[np.ndarray], readers: list[str]) -> None:
    net = Onnx(opset=opset)
    padded = net.op("Pad", [net.conv("image", 4), *(net.constant(value) for value in inputs)], attributes)
    results = [net.conv(padded, 4, 4) if reader == "Conv" else net.op("Relu", [padded]) for reader in readers]
    graph = check_picture(net, net.op("Add", results) if len(results) == 2 else results[0])
    if readers[0] == "Conv" and opset == 10:
        assert kinds(graph).count(Pad) == 1  # taken into the convolution, and put out again as it is not SAME


def test_two_paddings_in_a_row_become_one() -> None:
    net = Onnx()
    value = net.conv("image", 4)
    for amounts in ([0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]):
        value = net.op("Pad", [value, net.constant(np.array(amounts, np.int64))])
    assert kinds(check_picture(net, net.conv(value, 4, 4))).count(Pad) == 1


# Shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_concat_of_pictures(axis: int) -> None:
    net = Onnx()
    check_picture(
        net,
        net.op(
            "Concat",
            [net.conv("image", 4), net.conv("image", 4), "image"][: 3 if axis == 1 else 2],
            {"axis": axis},
        ),
    )


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
    check_picture(net, value)


def test_channel_shuffle() -> None:
    net = Onnx((1, 3, 4, 4))
    groups = net.op("Reshape", [net.conv("image", 8), net.constant(np.array([1, 2, 4, 4, 4], np.int64))])
    turned = net.op("Transpose", [groups], {"perm": [0, 2, 1, 3, 4]})
    shuffled = net.op("Reshape", [turned, net.constant(np.array([1, 8, 4, 4], np.int64))])
    check_picture(net, net.conv(shuffled, 5, 8))


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
    graph = check_against_onnxruntime(
        net.model(net.op("Gemm", [net.op("Flatten", [value]), net.random(120, 4)]))
    )
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
    graph = check_against_onnxruntime(
        net.model(net.op("Gemm", [net.op("Reshape", [value, target]), net.random(128, 4)]))
    )
    assert len(graph.nodes) == 4


def test_every_rule_is_tested() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_onnx_*.py"))
    assert [kind for kind in RULES if f'"{kind}"' not in source] == []
