"""ONNX's elementwise operators, with constants and between tensors, compared with onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_models import Onnx, check_against_onnxruntime, check_picture, kinds

from edgenet.graph.ir import Mean, Softmax, Transpose, Unary

FLOAT32 = np.float32


def batch_norm(net: Onnx, value: str, channels: int) -> str:
    statistics = [net.random(channels), net.random(channels), net.random(channels)]
    variance = net.constant(np.abs(net.rng.normal(size=channels)).astype(FLOAT32))
    return net.op("BatchNormalization", [value, *statistics, variance], {"epsilon": 1e-3})


@pytest.mark.parametrize(
    "place", ["behind conv", "before padded conv", "before conv", "on a vector", "alone"]
)
def test_batch_normalization(place: str) -> None:
    net = Onnx()
    match place:
        case "behind conv":
            graph = check_picture(net, batch_norm(net, net.conv("image", 5), 5))
            assert len(graph.nodes) == 4  # normalization, convolution, two that turn the flattened result
        case "before padded conv":
            check_picture(net, net.conv(net.op("Relu", [batch_norm(net, net.conv("image", 4), 4)]), 5, 4))
            check_picture(net, net.conv(batch_norm(net, net.op("Relu", [net.conv("image", 4)]), 4), 5, 4))
        case "before conv":
            normal = batch_norm(net, net.op("Relu", [net.conv("image", 4)]), 4)
            check_picture(net, net.op("Conv", [normal, net.random(6, 2, 3, 3)], {"group": 2}))
        case "on a vector":
            vector = net.op("Flatten", [net.op("GlobalMaxPool", [net.conv("image", 4)])])
            check_against_onnxruntime(net.model(batch_norm(net, net.op("Relu", [vector]), 4)))
        case "alone":
            check_picture(net, batch_norm(net, "image", 3))


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
    check_picture(net, net.op("Relu", [changed]))


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), (1, 1)], ids=str)
def test_arithmetic_with_a_constant_on_a_vector(shape: tuple[int, ...]) -> None:
    net = Onnx()
    vector = net.op("Relu", [net.op("Flatten", [net.op("GlobalAveragePool", [net.conv("image", 5)])])])
    check_against_onnxruntime(
        net.model(net.op("Mul", [net.random(*shape), net.op("Add", [vector, net.random(*shape)])]))
    )


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
    check_picture(net, net.op("Relu", [net.op(kind, [left, right])]))


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("turned", [False, True])
def test_broadcasting_one_value_per_channel(kind: str, turned: bool) -> None:
    net = Onnx()
    value = net.conv("image", 6)
    gate = net.op("GlobalAveragePool", [value])
    check_picture(net, net.op(kind, [gate, value] if turned else [value, gate]))


def test_squeeze_and_excitation() -> None:
    net = Onnx()
    value = net.conv("image", 8)
    squeezed = net.op("ReduceMean", [value], {"axes": [2, 3], "keepdims": 0})
    hidden = net.op("Relu", [net.op("Gemm", [squeezed, net.random(8, 3), net.random(3)])])
    gate = net.op("HardSigmoid", [net.op("Gemm", [hidden, net.random(3, 8)])], {"alpha": 1 / 6})
    gate = net.op("Unsqueeze", [gate, net.constant(np.array([2, 3], np.int64))])
    graph = check_picture(net, net.conv(net.op("Mul", [gate, value]), 4, 8))
    assert kinds(graph).count(Transpose) == 1  # that of the flattened result


def test_adding_pictures_of_different_layout_turns_one() -> None:
    net = Onnx((1, 3, 6, 6))
    turned = net.op("Transpose", [net.conv("image", 6)], {"perm": [0, 2, 3, 1]})
    check_picture(net, net.op("Add", [net.op("Relu", [turned]), net.conv("image", 6)]))


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(0.0, 6.0, "relu6"), (0.0, None, "relu"), (0.0, 3.4e38, "relu")]
)
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
    graph = check_picture(net, net.op("Conv", [clipped, weight], {"group": 4}))
    fused = [getattr(node.operator, "activation", None) for node in graph.nodes]
    assert kind in fused


def test_hard_swish_as_operator_and_written_out() -> None:
    three, six = FLOAT32(3), FLOAT32(6)
    for style in (
        "operator",
        "x * hard_sigmoid",
        "x * (relu6 / 6)",
        "(x * relu6) / 6",
        "(relu6 * x) * (1 / 6)",
    ):
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
        graph = check_picture(net, swished)
        operators = [node.operator for node in graph.nodes]
        assert operators[2] == Unary("hard_swish"), style
        assert not any(operator == Unary("relu6") for operator in operators), style


@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "HardSigmoid"])
def test_activation(kind: str) -> None:
    net = Onnx()
    attributes = {"alpha": 1 / 6} if kind == "HardSigmoid" else {}
    check_picture(
        net, net.op(kind, [net.op("Mul", [net.conv("image", 4), net.constant(FLOAT32(4))])], attributes)
    )


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
    check_picture(net, net.op("Mul", [scores, net.conv("image", 5)]))
