"""Every operator of the graph, written as float and as int8, compared with LiteRT.

Float must agree with the torch executor to 1e-4. Int8 must equal the integer execution in every value: with
XNNPACK, which LiteRT uses by default, and with LiteRT's own kernels where XNNPACK has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from edgenet_device.runtime import find_delegate
from operator_checks import check, scaled, single
from small_graphs import (
    Make,
    as_int8,
    build,
    conv,
    depthwise,
    float_file,
    fully_connected,
    interpreter,
    lite,
    photos,
    quantize,
)

from edgenet.graph.ir import (
    Activation,
    Binary,
    Concat,
    Mean,
    Operator,
    Pad,
    Pads,
    Pool,
    Reshape,
    Softmax,
    Transpose,
    Unary,
)
from edgenet.graph.lower import lower_padding
from edgenet.graph.shapes import GraphBuilder, same_pads
from edgenet.quantize.integer import run_integer
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import raw_program

Rng = np.random.Generator
RELU, RELU6 = Activation.RELU, Activation.RELU6
INT8_BUILT_IN = ("hard_swish", "softmax", "average pooling")
"""What LiteRT runs with its own kernels in int8."""


def same(operator: Operator, size: tuple[int, int]) -> Operator:
    return replace(operator, pads=same_pads(size, operator))


# Convolutions ----------------------------------------------------------------------------------------------------


def test_convolutions_of_random_kernels_strides_dilations_and_padding() -> None:
    for seed in range(24):
        rng = np.random.default_rng(seed)
        size = (int(rng.integers(9, 14)), int(rng.integers(9, 14)))
        kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
        dilated = rng.random() < 0.3
        stride = (1, 1) if dilated else (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        dilation = (int(rng.integers(1, 3)), int(rng.integers(1, 3))) if dilated else (1, 1)
        channels, outputs = int(rng.integers(1, 12)), int(rng.integers(1, 12))
        operator = replace(
            conv(rng, channels, outputs, kernel),
            stride=stride,
            dilation=dilation,
            activation=list(Activation)[seed % 3],
        )
        padding = rng.choice(["VALID", "SAME", "other"])
        if padding == "SAME":
            operator = same(operator, size)
        elif padding == "other":
            operator = replace(operator, pads=Pads(*(int(n) for n in rng.integers(0, 3, 4))))
        graph = build(
            lambda b, x, o=operator, c=channels, r=rng: b.add(o, [scaled(b, x, r, c)], "result"), size
        )
        check(lower_padding(graph), seed)


@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_depthwise_convolutions(multiplier: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(100 * multiplier + seed)
        size, channels = (int(rng.integers(6, 12)), int(rng.integers(6, 12))), int(rng.integers(1, 20))
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        dilation = (2, 2) if seed % 5 == 4 and max(kernel) < 4 else (1, 1)
        stride = (1, 1) if dilation != (1, 1) else (1 + seed % 2,) * 2
        operator = replace(
            depthwise(rng, channels, kernel, multiplier),
            stride=stride,
            dilation=dilation,
            activation=list(Activation)[seed % 3],
        )
        if seed % 3 or (dilation != (1, 1) and kernel[0] * 2 > size[0]):
            operator = same(operator, size)
        check(
            build(lambda b, x, o=operator, c=channels, r=rng: b.add(o, [scaled(b, x, r, c)], "y"), size), seed
        )


@pytest.mark.parametrize("groups", [2, 3])
def test_grouped_convolutions_are_taken(groups: int) -> None:
    rng = np.random.default_rng(groups)
    operator = replace(conv(rng, 6, 9 if groups == 3 else 8, (3, 3), groups), activation=RELU6)
    graph = build(single(same(operator, (6, 6))), channels=6)
    check(graph)
    for data in (float_file(graph), write_tflite(raw_program(quantize(graph, photos(2, (6, 6)))))):
        assert find_delegate(interpreter(data)).nodes_taken == 2


@pytest.mark.parametrize("inputs", [3, 517, 518, 1300])
def test_fully_connected(inputs: int) -> None:
    """Beyond 517 inputs the integer sums no longer fit into float32 and are computed in parts."""
    rng = np.random.default_rng(inputs)

    def make(builder: GraphBuilder, x: str) -> str:
        mean = builder.add(Mean(False), [scaled(builder, x, rng, inputs)], "mean")
        return builder.add(replace(fully_connected(rng, inputs, 11), activation=RELU), [mean], "result")

    check(build(make, (2, 2)))


def test_fully_connected_on_a_picture_keeps_its_axes() -> None:
    rng = np.random.default_rng(4)
    check(build(single(fully_connected(rng, 5, 7)), channels=5))


# Elementwise -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["add", "sub", "mul"])
def test_arithmetic(kind: str) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        channels = int(rng.integers(1, 20))

        def make(
            builder: GraphBuilder, x: str, rng: Rng = rng, channels: int = channels, seed: int = seed
        ) -> str:
            left, right = scaled(builder, x, rng, channels), scaled(builder, x, rng, channels)
            if seed % 3 == 1:
                right = builder.add(Mean(), [right], "one")
            left, right = (right, left) if seed % 4 == 1 else (left, right)
            return builder.add(Binary(kind, list(Activation)[seed % 3]), [left, right], "result")

        check(build(make, (3, 5)), seed)


@pytest.mark.parametrize("kind", ["add", "sub", "mul"])
def test_arithmetic_of_a_tensor_with_itself(kind: str) -> None:
    check(build(lambda b, x: b.add(Binary(kind), [x, x], "result")))


@pytest.mark.parametrize("kind", ["relu", "relu6", "hard_swish", "scaled_hard_swish", "sigmoid"])
def test_functions(kind: str) -> None:
    for seed in range(16):
        rng = np.random.default_rng(seed)
        graph = build(lambda b, x, r=rng: b.add(Unary(kind), [scaled(b, x, r, 5)], "result"), (7, 9))
        check(graph, seed)


def test_softmax_inside() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        check(build(lambda b, x, r=rng: b.add(Softmax(), [scaled(b, x, r, 9)], "result"), (4, 5)), seed)


# Pooling and shapes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling(kind: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        size = (int(rng.integers(4, 9)), int(rng.integers(4, 9)))
        pool = Pool(kind, (int(rng.integers(1, 5)), int(rng.integers(1, 5))), (1 + seed % 2, 1 + seed % 3))
        pool = same(pool, size) if seed % 2 else pool
        check(build(lambda b, x, p=pool, r=rng: b.add(p, [scaled(b, x, r, 5)], "result"), size), seed)


def test_max_pooling_with_other_padding() -> None:
    pool = Pool("max", (3, 3), (2, 2), Pads(1, 1, 1, 1))
    graph = lower_padding(build(single(pool), (8, 8), channels=4))
    assert isinstance(graph.nodes[1].operator, Pad)
    check(graph)


def test_mean() -> None:
    for seed, size in enumerate(((1, 1), (2, 3), (7, 7), (14, 14), (5, 31))):
        rng = np.random.default_rng(seed)
        graph = build(
            lambda b, x, r=rng, s=seed: b.add(Mean(s % 2 == 0), [scaled(b, x, r, 13)], "result"), size
        )
        check(graph, seed)


@pytest.mark.parametrize("pads", [Pads(1, 0, 2, 1), Pads(0, 3, 0, 0)])
def test_pad(pads: Pads) -> None:
    check(build(single(Pad(pads)), channels=4))


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_concat(axis: int) -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        rng = np.random.default_rng(axis)
        parts = [scaled(builder, x, rng, 4), scaled(builder, x, rng, 4)]
        return builder.add(Concat(axis), [*parts, parts[0]], "result")

    check(build(make))


def test_reshape_and_transpose() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        turned = builder.add(Transpose((0, 3, 1, 2)), [x], "turned")
        groups = builder.add(Reshape((1, 2, 2, 6, 6)), [turned], "groups")
        return builder.add(
            Reshape((1, 144)), [builder.add(Transpose((0, 2, 1, 4, 3)), [groups], "again")], "result"
        )

    check(build(make, channels=4))


SMALL: dict[str, tuple[Make, int]] = {
    "convolution": (single(conv(np.random.default_rng(0), 5, 4, (3, 3))), 2),
    "depthwise": (single(depthwise(np.random.default_rng(0), 5, (3, 3))), 2),
    "mean": (single(Mean()), 2),
    "sigmoid": (single(Unary("sigmoid")), 2),
    "max pooling": (single(Pool("max", (2, 2), (2, 2))), 2),
    "pad": (single(Pad(Pads(1, 1, 1, 1))), 2),
    "transpose": (single(Transpose((0, 3, 1, 2))), 2),
    "add": (lambda b, x: b.add(Binary("add"), [x, x], "y"), 2),
    "hard_swish": (single(Unary("hard_swish")), 1),
    "scaled_hard_swish": (single(Unary("scaled_hard_swish")), 3),
    "softmax": (single(Softmax()), 1),
    "average pooling": (single(Pool("average", (2, 2), (2, 2))), 1),
    "relu": (single(Unary("relu")), 2),
    "relu6": (single(Unary("relu6")), 2),
}


@pytest.mark.parametrize("name", SMALL)
def test_which_int8_operators_xnnpack_takes(name: str) -> None:
    """The list is stated here so that the test notices a new runtime that takes more, with other arithmetic."""
    make, taken = SMALL[name]
    data = write_tflite(raw_program(quantize(build(make, channels=5), photos(2, (6, 6)))))
    assert find_delegate(interpreter(data)).nodes_taken == taken
    assert (taken == 1) == (name in INT8_BUILT_IN)


BUILT_IN: dict[str, tuple[Callable[[Rng], Operator], int]] = {
    "convolution": (lambda rng: replace(conv(rng, 5, 8, (3, 3)), activation=RELU6), 1),
    "depthwise": (lambda rng: depthwise(rng, 5, (3, 3)), 1),
    "mean": (lambda rng: Mean(), 1),
    "sigmoid": (lambda rng: Unary("sigmoid"), 2),
    "hard_swish": (lambda rng: Unary("hard_swish"), 2),
    "scaled_hard_swish": (lambda rng: Unary("scaled_hard_swish"), 2),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_kernels_without_xnnpack_stay_within_a_step_or_two(name: str) -> None:
    make, steps = BUILT_IN[name]
    rng = np.random.default_rng(1)
    graph = build(single(make(rng)), channels=5)
    images = photos(8, graph.size)
    quantized = quantize(graph, photos(4, graph.size, 1))
    built_in = lite(write_tflite(raw_program(quantized)), as_int8(images), builtin=True)
    difference = np.abs(built_in.astype(int) - run_integer(quantized, images))
    assert difference.max() <= steps
    assert (difference == 0).mean() > 0.8
