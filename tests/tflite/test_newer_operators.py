"""The operators of newer networks, written as float and as int8, compared with LiteRT.

Those with an int8 form must equal the integer execution in every value. Those without one are computed in float32
between int8 layers; there the file must agree with the executor to float32's precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from edgenet_device.runtime import find_delegate
from operator_checks import Rng, check, scaled, single
from small_graphs import build, conv, float_file, interpreter, lite, photos

from edgenet.graph.executor import decode_pixels, run
from edgenet.graph.ir import (
    Binary,
    Concat,
    Graph,
    LeakyRelu,
    MatMul,
    Operator,
    Pads,
    Pool,
    PRelu,
    Reduce,
    Reshape,
    Resize,
    Slice,
    Softmax,
    Standardize,
    Unary,
    WithConstant,
)
from edgenet.graph.lower import lower
from edgenet.graph.shapes import GraphBuilder
from edgenet.graph.simplify import drop_final_softmax, simplify
from edgenet.graph.xnnpack_forms import nest_concats
from edgenet.progress import silent
from edgenet.quantize.integer import real_logits, run_integer
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.tflite.from_graph import float_program, int8_program, raw_program
from edgenet.tflite.to_graph import float_graph, quantized_graph

EXACT: dict[str, tuple[Callable[[Rng], Operator], int]] = {
    "tanh": (lambda rng: Unary("tanh"), 2),
    "gelu": (lambda rng: Unary("gelu"), 1),
    "gelu by tanh": (lambda rng: Unary("gelu_tanh"), 1),
    "leaky relu": (lambda rng: LeakyRelu(float(np.float32(rng.choice([0.01, 0.1, 0.3, -0.2])))), 2),
    "prelu": (lambda rng: PRelu(rng.normal(0.2, 0.3, 5).astype(np.float32)), 1),
    "slice": (lambda rng: Slice((0, 1, 0, 1), (1, 5, 8, 4), (1, 1, 1, 1)), 2),
    "slice with steps": (lambda rng: Slice((0, 1, 0, 0), (1, 6, 8, 5), (1, 2, 3, 1)), 1),
    "nearest": (lambda rng: Resize("nearest", (int(rng.integers(3, 14)), 5)), 1),
    "nearest, corners": (lambda rng: Resize("nearest", (int(rng.integers(3, 14)), 5), align_corners=True), 1),
    "bilinear, half pixel": (
        lambda rng: Resize("bilinear", (int(rng.integers(3, 14)), 15), half_pixel=True),
        2,
    ),
    "bilinear, corners": (
        lambda rng: Resize("bilinear", (11, int(rng.integers(2, 14))), align_corners=True),
        2,
    ),
    "bilinear, asymmetric": (lambda rng: Resize("bilinear", (9, int(rng.integers(2, 14)))), 2),
}
"""By name: the operator, and how many nodes XNNPACK takes in int8, of two, the first of which is a convolution."""


@pytest.mark.parametrize("name", EXACT)
def test_exact_in_int8(name: str) -> None:
    make, taken = EXACT[name]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        graph = build(lambda b, x, r=rng: b.add(make(r), [scaled(b, x, r, 5)], "result"), (6, 8))
        check(graph, seed)
    data = write_tflite(raw_program(RECIPES["minmax"].quantize(graph, photos(2, graph.size), silent)))
    assert find_delegate(interpreter(data)).nodes_taken == taken


def standardized(rng: Rng) -> Operator:
    return Standardize((3,) if rng.random() < 0.5 else (1, 2), 1e-5)


@pytest.mark.parametrize("kind", ["add", "sub"])
@pytest.mark.parametrize("factor", [2e-4, 9e-4, 1.1e-3, 5e-3, 1e-7])
def test_sums_of_scales_far_apart_are_exact(kind: str, factor: float) -> None:
    """XNNPACK takes ratios of scales from 2**-10; LiteRT's own kernel adds the others."""
    for seed in range(4):
        rng = np.random.default_rng(seed)

        def make(builder: GraphBuilder, x: str, rng: Rng = rng, step: int = -1 if seed % 2 else 1) -> str:
            large, small = conv(rng, 3, 5, (1, 1)), conv(rng, 3, 5, (1, 1))
            small = replace(
                small, weight=small.weight * np.float32(factor), bias=small.bias * np.float32(factor)
            )
            parts = [builder.add(large, [x], "large"), builder.add(small, [x], "small")]
            return builder.add(Binary(kind), parts[::step], "result")

        check(build(make, (5, 6)), seed)


@pytest.mark.parametrize("factor", [1.0, 1e-4, 1e-8])
def test_a_branch_of_zeros_is_added_by_xnnpack(factor: float) -> None:
    """An untrained residual block gives zeros; with any odd scale for them, LiteRT would abort on the addition."""
    rng = np.random.default_rng(0)

    def make(builder: GraphBuilder, x: str) -> str:
        operator = conv(rng, 3, 5, (1, 1))
        nothing = replace(operator, weight=operator.weight * 0, bias=operator.bias * 0)
        small = replace(
            operator, weight=operator.weight * np.float32(factor), bias=operator.bias * np.float32(factor)
        )
        parts = [builder.add(nothing, [x], "nothing"), builder.add(small, [x], "small")]
        return builder.add(Binary("add"), parts, "result")

    graph = build(make, (5, 6))
    check(graph)
    data = write_tflite(raw_program(RECIPES["minmax"].quantize(graph, photos(2, graph.size), silent)))
    assert find_delegate(interpreter(data)).nodes_taken == 3


@pytest.mark.parametrize("name", EXACT)
def test_read_back_from_the_file(name: str) -> None:
    make, _ = EXACT[name]
    rng = np.random.default_rng(3)
    graph = build(lambda b, x: flat(b, b.add(make(rng), [scaled(b, x, rng, 5)], "result")), (6, 8))
    images = photos(3, graph.size)
    read = float_graph(read_tflite(write_tflite(float_program(graph)), "small"))
    np.testing.assert_allclose(
        run(drop_final_softmax(read), images), run(graph, images), atol=1e-4, rtol=1e-4
    )
    quantized = RECIPES["minmax"].quantize(graph, photos(3, graph.size, 1), silent)
    again = quantized_graph(read_tflite(write_tflite(int8_program(quantized)), "small"))
    np.testing.assert_array_equal(run_integer(again, images), run_integer(quantized, images))


def flat(builder: GraphBuilder, x: str) -> str:
    return builder.add(Reshape((1, int(np.prod(builder.shapes[x])))), [x], "flat")


FLOAT: dict[str, Callable[[Rng], Operator]] = {
    "layer or instance norm": standardized,
    "group norm": lambda rng: Standardize((1, 2, 3), 1e-5),
    "mean of channels": lambda rng: Reduce("mean", (3,)),
    "sum of rows": lambda rng: Reduce("sum", (1,)),
    "constant added": lambda rng: WithConstant("add", rng.normal(size=(1, 6, 8, 5)).astype(np.float32)),
    "constant factors": lambda rng: WithConstant("mul", rng.normal(size=(1, 1, 8, 1)).astype(np.float32)),
    "constant in front": lambda rng: WithConstant(
        "concat", rng.normal(size=(1, 1, 8, 5)).astype(np.float32), 1
    ),
}


def check_float_inside(make: Callable[[GraphBuilder, str, Rng], str], layers: int) -> None:
    """Check a graph whose middle is computed in float32: its float file, and its int8 file by each kind of recipe."""
    rng = np.random.default_rng(1)
    graph = build(lambda b, x: make(b, x, rng), (6, 8))
    images, calibration = photos(3, graph.size), photos(6, graph.size, 1)
    expected = lite(float_file(graph), decode_pixels(graph, images).numpy())
    np.testing.assert_allclose(run(graph, images), expected, atol=1e-4, rtol=1e-4)
    for recipe in ("minmax", "balanced"):
        quantized = RECIPES[recipe].quantize(graph, calibration, silent)
        assert quantized.kept_float
        assert len(quantized.weights) == layers
        data = write_tflite(int8_program(quantized))
        own = real_logits(quantized, images)
        scores = np.exp(own - own.max(1, keepdims=True))
        difference = np.abs(lite(data, images) - scores / scores.sum(1, keepdims=True))
        assert (
            difference.max() < 0.02
        )  # a float32 sum in another order may round one int8 value to its neighbour
        assert np.median(difference) < 1e-5
        delegate = find_delegate(interpreter(data))
        assert (delegate.nodes_taken, delegate.partitions) == (delegate.nodes_total, 1)


@pytest.mark.parametrize("name", FLOAT)
def test_float_between_int8_layers(name: str) -> None:
    def make(builder: GraphBuilder, x: str, rng: Rng) -> str:
        inside = builder.add(FLOAT[name](rng), [scaled(builder, x, rng, 5)], "inside")
        last = builder.add(conv(rng, builder.shapes[inside][3], 4, (1, 1)), [inside], "last")
        return builder.add(Reshape((1, int(np.prod(builder.shapes[last])))), [last], "flat")

    check_float_inside(make, 2)


@pytest.mark.parametrize("name", FLOAT)
def test_float_operators_read_back_from_the_file(name: str) -> None:
    rng = np.random.default_rng(4)
    graph = build(lambda b, x: flat(b, b.add(FLOAT[name](rng), [scaled(b, x, rng, 5)], "result")), (6, 8))
    images = photos(3, graph.size)
    read = float_graph(read_tflite(write_tflite(float_program(graph)), "small"))
    simple = simplify(read, None)
    np.testing.assert_allclose(run(simple, images), run(graph, images), atol=1e-4, rtol=1e-4)
    kinds = [type(node.operator) for node in simple.nodes]
    if name.endswith("norm"):
        assert Standardize in kinds
        assert Reduce not in kinds
    quantized = RECIPES["minmax"].quantize(graph, photos(3, graph.size, 1), silent)
    again = quantized_graph(read_tflite(write_tflite(int8_program(quantized)), "small"))
    np.testing.assert_allclose(
        real_logits(again, images), real_logits(quantized, images), atol=0.1, rtol=0.02
    )


@pytest.mark.parametrize("transposed", [False, True])
def test_attention_between_int8_layers(transposed: bool) -> None:
    def make(builder: GraphBuilder, x: str, rng: Rng) -> str:
        shape = (1, 2, 24, 5)
        left, right = (builder.add(Reshape(shape), [scaled(builder, x, rng, 5)], "rows") for _ in range(2))
        if transposed:
            scores = builder.add(Softmax(), [builder.add(MatMul(True), [left, right], "scores")], "softmax")
            inside = builder.add(MatMul(), [scores, right], "mixed")
        else:
            columns = builder.add(Reshape((1, 2, 5, 24)), [right], "columns")
            inside = builder.add(MatMul(), [left, columns], "products")
        last = builder.add(conv(rng, builder.shapes[inside][3], 4, (1, 1)), [inside], "last")
        return builder.add(Reshape((1, 192)), [last], "flat")

    check_float_inside(make, 3)


def test_division_and_root_between_int8_layers() -> None:
    def make(builder: GraphBuilder, x: str, rng: Rng) -> str:
        features = scaled(builder, x, rng, 5)
        square = builder.add(Binary("mul"), [features, features], "square")
        length = builder.add(Unary("sqrt"), [builder.add(Reduce("sum", (3,)), [square], "sum")], "length")
        inside = builder.add(Binary("div"), [features, length], "unit")
        last = builder.add(conv(rng, 5, 4, (1, 1)), [inside], "last")
        return builder.add(Reshape((1, 192)), [last], "flat")

    check_float_inside(make, 2)


def partitions(graph: Graph) -> tuple[int, int, int]:
    """Return the nodes that XNNPACK takes of the int8 file, all its nodes, and the partitions."""
    quantized = RECIPES["minmax"].quantize(graph, photos(3, graph.size), silent)
    found = find_delegate(interpreter(write_tflite(int8_program(quantized))))
    assert found.nodes_taken is not None
    assert found.nodes_total is not None
    assert found.partitions is not None
    return found.nodes_taken, found.nodes_total, found.partitions


def whole(make: Callable[[GraphBuilder, str], str], size: tuple[int, int] = (8, 8)) -> Graph:
    """Return the lowered int8 form of a graph, flattened to a vector, which must equal the graph itself."""

    def flat(builder: GraphBuilder, x: str) -> str:
        result = make(builder, x)
        return builder.add(Reshape((1, int(np.prod(builder.shapes[result])))), [result], "flat")

    graph = build(flat, size, channels=5)
    lowered = lower(graph, exact_border=False)
    images = photos(3, size)
    np.testing.assert_allclose(run(lowered, images), run(graph, images), atol=1e-4)
    check(lowered)
    taken, total, parts = partitions(lowered)
    assert taken == total
    assert parts == 1
    return lowered


def test_padded_max_pooling_after_relu_stays_in_xnnpack() -> None:
    rng = np.random.default_rng(0)

    def make(builder: GraphBuilder, x: str) -> str:
        relu = builder.add(Unary("relu"), [builder.add(conv(rng, 5, 5, (1, 1)), [x], "conv")], "relu")
        return builder.add(Pool("max", (3, 3), (2, 2), Pads(1, 1, 1, 1)), [relu], "pool")

    whole(make)


def test_padded_max_pooling_of_negative_values_keeps_its_padding() -> None:
    graph = lower(build(single(Pool("max", (3, 3), (2, 2), Pads(1, 1, 1, 1))), (8, 8), 5), exact_border=False)
    check(graph)
    assert [n.operator.value for n in graph.nodes if hasattr(n.operator, "value")] == [float("-inf")]


def test_average_pooling_stays_in_xnnpack() -> None:
    lowered = whole(single(Pool("average", (3, 3), (2, 1))))
    assert not any(isinstance(node.operator, Pool) for node in lowered.nodes)


@pytest.mark.parametrize("factors", [(2, 2), (1, 3), (4, 1)], ids=str)
def test_repeated_pixels_stay_in_xnnpack(factors: tuple[int, int]) -> None:
    lowered = whole(single(Resize("nearest", (8 * factors[0], 8 * factors[1]))))
    assert not any(isinstance(node.operator, Resize) for node in lowered.nodes)


@pytest.mark.parametrize("count", [4, 5, 11, 30])
def test_wide_concatenations_stay_in_xnnpack(count: int) -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        parts = [
            builder.add(conv(np.random.default_rng(n), 5, 2, (1, 1)), [x], f"part{n}") for n in range(count)
        ]
        return builder.add(Concat(3), parts, "all")

    whole(make)


def test_a_growing_concatenation_uses_the_one_before_it() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        parts, joined = [x], x
        for number in range(9):
            parts.append(
                builder.add(
                    conv(np.random.default_rng(number), builder.shapes[joined][3], 2, (1, 1)), [joined], "new"
                )
            )
            joined = builder.add(Concat(3), list(parts), "joined")
        return joined

    graph = build(make, (4, 4), channels=5)
    nested = nest_concats(graph)
    assert max(len(node.inputs) for node in nested.nodes) <= 4
    assert len(nested.nodes) == len(graph.nodes)
    images = photos(2, (4, 4))
    np.testing.assert_array_equal(run(nested, images), run(graph, images))


def test_a_float_file_of_all_of_them_stays_in_xnnpack() -> None:
    rng = np.random.default_rng(0)

    def make(builder: GraphBuilder, x: str) -> str:
        for name in ("layer or instance norm", "group norm", "constant added"):
            x = builder.add(FLOAT[name](rng), [x], "float")
        for operator in (Unary("gelu"), LeakyRelu(0.1), PRelu(np.full(5, 0.2, np.float32)), Unary("tanh")):
            x = builder.add(operator, [x], "function")
        return builder.add(Reshape((1, 240)), [x], "flat")

    graph = build(make, (6, 8), channels=5)
    found = find_delegate(interpreter(write_tflite(float_program(graph))))
    assert (found.nodes_taken, found.partitions) == (found.nodes_total, 1)
