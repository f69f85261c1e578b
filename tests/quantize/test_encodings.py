"""Encodings and ranges: zero is exact, odd ranges, tensors that share an encoding, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import as_int8, build, conv, fully_connected, lite, photos, quantize

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Activation, Binary, Concat, Graph, Mean, Pad, Pads, Pool, Reshape, Softmax, Unary
from edgenet.graph.lower import lower, lower_padding
from edgenet.graph.shapes import GraphBuilder
from edgenet.progress import silent
from edgenet.quantize.integer import run_integer
from edgenet.quantize.quantized_graph import HIGH, LOW, Encoding, dequantize_array, quantize_array
from edgenet.quantize.ranges import ZERO_TO_ONE, Range, encode_tensors, encoding_for, observe_ranges
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import int8_program, raw_program

RNG = np.random.default_rng(0)


def test_zero_is_exact_and_the_range_is_held_to_half_a_step() -> None:
    for low, high in RNG.normal(scale=10, size=(200, 2)):
        values = Range(min(low, high), max(low, high))
        encoding = encoding_for(values)
        assert LOW <= encoding.zero_point <= HIGH
        assert encoding.scale == np.float32(encoding.scale)
        ends = np.array([0.0, values.low, values.high], np.float32)
        back = dequantize_array(quantize_array(ends, encoding), encoding)
        assert back[0] == 0
        assert np.abs(back - ends).max() <= encoding.scale * 0.5001


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (Range(0, 6), Encoding(float(np.float32(6 / 255)), -128)),
        (Range(2, 6), Encoding(float(np.float32(6 / 255)), -128)),  # widened to hold zero
        (Range(-3, -1), Encoding(float(np.float32(3 / 255)), 127)),
        (Range(5, 5), Encoding(float(np.float32(5 / 255)), -128)),
        (Range(-1, 3), Encoding(float(np.float32(4 / 255)), -64)),
        (Range(0, 0), Encoding(1.0, 0)),
        (Range(-1e-42, 1e-42), Encoding(1.0, 0)),  # its scale would be no float32
    ],
)
def test_one_sided_constant_and_empty_ranges(values: Range, expected: Encoding) -> None:
    assert encoding_for(values) == expected


@pytest.mark.parametrize(("kind", "lowest"), [("hard_swish", -3.0), ("scaled_hard_swish", -(1.5**0.5))])
def test_values_of_which_hard_swish_makes_nothing_get_no_steps(kind: str, lowest: float) -> None:
    def make(builder: GraphBuilder, x: str, alone: bool) -> str:
        y = builder.add(conv(np.random.default_rng(0), 3, 3, (1, 1)), [x], "y")
        z = builder.add(Unary(kind), [y], "z")
        return z if alone else builder.add(Binary("add"), [y, z], "sum")

    for alone, low in ((True, lowest), (False, -9.0)):
        graph = build(lambda b, x, a=alone: make(b, x, a))
        ranges = dict.fromkeys(graph.shapes, Range(-9.0, 4.0)) | {"image": Range(-0.99, 1.0)}
        found = encode_tensors(graph, ranges)
        assert found["y"] == encoding_for(Range(low, 4.0))


def test_quantizing_rounds_half_to_even_and_saturates() -> None:
    values = np.array([-100, -0.75, -0.25, 0.25, 0.75, 1.25, 100], np.float32)
    assert quantize_array(values, Encoding(0.5, 10)).tolist() == [LOW, 8, 10, 10, 12, 12, HIGH]


def test_ranges_are_those_of_all_photos() -> None:
    graph = build(lambda b, x: b.add(conv(RNG, 3, 5, (3, 3)), [x], "y"))
    images, seen = photos(20, graph.size), []
    ranges = observe_ranges(graph, images, lambda _stage, done, _total: seen.append(done))
    assert seen == [16, 20]  # at most 16 small photos at once
    each = [observe_ranges(graph, image[None])["y"] for image in images]
    # Sums of photos that run together may differ in their last bits.
    assert ranges["y"].low == pytest.approx(min(r.low for r in each), rel=1e-5)
    assert ranges["y"].high == pytest.approx(max(r.high for r in each), rel=1e-5)


def encodings_of(graph: Graph) -> dict[str, Encoding]:
    return encode_tensors(graph, observe_ranges(graph, photos(3, graph.size)))


def test_tensors_that_are_only_moved_share_their_encoding() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        a = builder.add(conv(RNG, 3, 5, (1, 1)), [x], "a")
        b = builder.add(conv(RNG, 3, 5, (1, 1)), [x], "b")
        both = builder.add(Concat(3), [a, b], "both")
        pooled = builder.add(Pool("max", (3, 3), (2, 2), Pads(1, 1, 1, 1)), [both], "pooled")
        return builder.add(Reshape((1, 90)), [builder.add(Unary("relu"), [pooled], "relu")], "flat")

    graph = lower_padding(build(make))
    encodings = encodings_of(graph)
    names = {node.output for node in graph.nodes}
    assert len({encodings[name] for name in names}) == 1
    assert encodings["a"] == encoding_for(observe_ranges(graph, photos(3, graph.size))["both"])


def test_the_picture_and_scores_have_the_encodings_that_are_prescribed() -> None:
    graph = build(lambda b, x: b.add(Softmax(), [b.add(Unary("sigmoid"), [x], "gate")], "scores"))
    encodings = encodings_of(graph)
    assert encodings["image"] == Encoding(float(np.float32(1 / 127.5)), -1)
    assert encodings["gate"] == encodings["scores"] == ZERO_TO_ONE


def test_features_cannot_share_the_encoding_of_a_sigmoid() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        wide = builder.add(conv(RNG, 3, 5, (1, 1)), [x], "wide")
        return builder.add(Concat(3), [wide, builder.add(Unary("sigmoid"), [wide], "gate")], "both")

    with pytest.raises(
        EdgenetError, match="'gate' has a prescribed int8 encoding and is joined with other values"
    ):
        encodings_of(build(make))


def both(builder: GraphBuilder, x: str, kind: str) -> str:
    """Concatenate features with what has a prescribed scale, moved by other operators."""
    wide = builder.add(conv(RNG, 3, 5, (1, 1)), [x], "wide")
    own = x if kind == "picture" else wide
    if kind != "picture":
        own = builder.add(Softmax() if kind == "softmax" else Unary(kind), [wide], "own")
    own = builder.add(
        Pool("max", (2, 2), (2, 2)), [builder.add(Pad(Pads(1, 1, 1, 1)), [own], "padded")], "pooled"
    )
    half = builder.add(Pool("average", (3, 3), (1, 1)), [wide], "half")
    if kind == "tanh":  # vectors as well as pictures
        size = int(np.prod(builder.shapes[own]))
        vectors = [builder.add(Reshape((1, size)), [name], "vector") for name in (half, own)]
        return builder.add(Concat(1), vectors, "both")
    return builder.add(Concat(3), [half, own], "both")


@pytest.mark.parametrize("kind", ["sigmoid", "softmax", "tanh", "picture"])
def test_a_layer_between_gives_it_another_encoding(kind: str) -> None:
    graph = lower(build(lambda b, x: both(b, x, kind)), exact_border=False)
    images = photos(4, graph.size)
    quantized = RECIPES["minmax"].quantize(graph, images, silent)
    given = run_integer(quantized, images)
    np.testing.assert_array_equal(lite(write_tflite(raw_program(quantized)), as_int8(images)), given)
    real = dequantize_array(given, quantized.encodings[graph.output])
    np.testing.assert_allclose(real, run(graph, images), atol=3 * quantized.encodings[graph.output].scale)


def test_two_sigmoids_can() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        return builder.add(Concat(3), [builder.add(Unary("sigmoid"), [x], name) for name in "ab"], "both")

    assert encodings_of(build(make))["both"] == ZERO_TO_ONE


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_first_node_with_nan_is_named(bad: float) -> None:
    layer = conv(RNG, 3, 4, (1, 1))
    weight = layer.weight.copy()
    weight[2, 0, 0, 1] = bad

    def make(builder: GraphBuilder, x: str) -> str:
        good = builder.add(conv(RNG, 3, 3, (1, 1)), [x], "good")
        broken = builder.add(replace(layer, weight=weight, activation=Activation.RELU), [good], "broken")
        return builder.add(fully_connected(RNG, 4, 2), [builder.add(Mean(False), [broken], "mean")], "logits")

    with pytest.raises(
        EdgenetError, match="node 'broken' gives NaN or infinite values on the calibration photos"
    ):
        observe_ranges(build(make), photos(2, (6, 6)))


def test_the_infinite_border_of_a_max_pooling_is_not_an_error() -> None:
    graph = lower_padding(build(lambda b, x: b.add(Pool("max", (3, 3), (2, 2), Pads(1, 1, 1, 1)), [x], "y")))
    assert isinstance(graph.nodes[0].operator, Pad)
    assert len(set(encodings_of(graph).values())) == 1


def test_a_network_that_gives_nothing_but_zeros_converts() -> None:
    dead = replace(
        conv(RNG, 3, 4, (1, 1)), weight=np.zeros((4, 1, 1, 3), np.float32), bias=np.zeros(4, np.float32)
    )

    def make(builder: GraphBuilder, x: str) -> str:
        return builder.add(Mean(False), [builder.add(dead, [x], "dead")], "logits")

    quantized = quantize(build(make), photos(2, (6, 6)))
    assert (run_integer(quantized, photos(2, (6, 6))) == 0).all()
    np.testing.assert_allclose(lite(write_tflite(int8_program(quantized)), photos(2, (6, 6))), 0.25)
