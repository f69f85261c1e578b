"""Every pass does its work and leaves what the graph computes unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_graphs import build, conv, depthwise, fully_connected, photos

from edgenet.graph.executor import run
from edgenet.graph.fold import (
    absorb_padding,
    fold_affine,
    fold_border,
    fuse_activations,
    normalize_pixels,
)
from edgenet.graph.ir import (
    Activation,
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Mean,
    Operator,
    Pad,
    Pads,
    Pool,
    Reshape,
    Softmax,
    Unary,
    drop_unused,
)
from edgenet.graph.lower import lower, lower_affine, lower_hard_sigmoid, lower_padding
from edgenet.graph.recognise import recognise_hard_functions
from edgenet.graph.shapes import GraphBuilder
from edgenet.graph.simplify import (
    drop_final_softmax,
    merge_concats,
    merge_reshapes,
    name_after_modules,
)
from edgenet.graph.xnnpack_forms import SCALED
from edgenet.zoo.classifier import CENTRED, SLIM, TORCHVISION, Normalization

RNG = np.random.default_rng(0)


def affine(channels: int, offset: bool = True) -> Affine:
    scale = RNG.uniform(0.5, 2, channels) * RNG.choice([-1, 1], channels)
    shift = RNG.normal(size=channels) if offset else np.zeros(channels)
    return Affine(scale.astype(np.float32), shift.astype(np.float32))


def chain(*operators: Operator) -> Callable[[GraphBuilder, str], str]:
    def make(builder: GraphBuilder, x: str) -> str:
        for operator in operators:
            x = builder.add(operator, [x], type(operator).__name__)
        return x

    return make


def check(before: Graph, change: Callable[[Graph], Graph], tolerance: float = 1e-5) -> list[Operator]:
    """Return the operators after the pass, and check that the graph computes the same."""
    after = change(before)
    images = photos(3, before.size)
    expected = run(before, images)
    np.testing.assert_allclose(run(after, images), expected, atol=tolerance * max(1, np.abs(expected).max()))
    assert after.shapes.keys() == {after.input, *(node.output for node in after.nodes)}
    assert (
        len({node.name for node in after.nodes})
        == len(after.nodes)
        == len({node.output for node in after.nodes})
    )
    return [node.operator for node in after.nodes]


# Folding ---------------------------------------------------------------------------------------------------------

WEIGHTED_LAYERS: dict[str, tuple[Operator, int]] = {
    "convolution": (conv(RNG, 6, 4, (3, 3)), 4),
    "grouped": (conv(RNG, 6, 4, (3, 3), groups=2), 4),
    "grouped by 3": (conv(RNG, 6, 9, (2, 2), groups=3), 9),
    "depthwise": (depthwise(RNG, 6, (3, 3)), 6),
    "depthwise, multiplier 2": (depthwise(RNG, 6, (3, 3), 2), 12),
    "fully connected": (fully_connected(RNG, 6, 5), 5),
}


@pytest.mark.parametrize("name", WEIGHTED_LAYERS)
@pytest.mark.parametrize("scalar", [False, True])
def test_an_affine_is_folded_into_the_layer_before_and_after(name: str, scalar: bool) -> None:
    layer, outputs = WEIGHTED_LAYERS[name]
    sizes = (1, 1) if scalar else (6, outputs)
    graph = build(
        chain(Unary("relu"), affine(sizes[0]), affine(sizes[0]), layer, affine(sizes[1])), channels=6
    )
    operators = check(graph, fold_affine)
    assert [type(operator) for operator in operators] == [Conv2D, Unary, type(layer)]


def test_only_a_scale_is_folded_through_padding() -> None:
    padded = conv(RNG, 6, 4, (3, 3), pads=Pads(1, 1, 1, 1))
    with_offset = build(chain(Unary("relu"), affine(6), padded), channels=6)
    assert any(isinstance(operator, Affine) for operator in check(with_offset, fold_affine))
    without = build(chain(Unary("relu"), affine(6, offset=False), padded), channels=6)
    assert not any(isinstance(operator, Affine) for operator in check(without, fold_affine))


def test_an_affine_is_not_folded_behind_an_activation_or_into_a_shared_tensor() -> None:
    active = replace(conv(RNG, 6, 4, (1, 1)), activation=Activation.RELU)
    operators = check(build(chain(active, affine(4)), channels=6), fold_affine)
    assert [type(operator) for operator in operators[1:]] == [Conv2D, Affine]

    def shared(builder: GraphBuilder, x: str) -> str:
        y = builder.add(conv(RNG, 6, 6, (1, 1)), [x], "y")
        return builder.add(Binary("add"), [y, builder.add(affine(6), [y], "z")], "sum")

    assert any(isinstance(operator, Affine) for operator in check(build(shared, channels=6), fold_affine))


def test_an_affine_with_two_readers_is_folded_into_both() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        y = builder.add(affine(6), [builder.add(Unary("relu"), [x], "x")], "y")
        both = [
            builder.add(conv(RNG, 6, 4, (1, 1)), [y], "a"),
            builder.add(depthwise(RNG, 6, (1, 1)), [y], "b"),
        ]
        return builder.add(Concat(3), both, "both")

    assert not any(isinstance(operator, Affine) for operator in check(build(make, channels=6), fold_affine))


# Activations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["relu", "relu6"])
@pytest.mark.parametrize(
    "layer", [conv(RNG, 6, 4, (1, 1)), depthwise(RNG, 6, (1, 1)), fully_connected(RNG, 6, 4)]
)
def test_activations_are_fused(kind: str, layer: Conv2D | DepthwiseConv2D | FullyConnected) -> None:
    operators = check(build(chain(layer, Unary(kind)), channels=6), fuse_activations)
    assert [getattr(operator, "activation", None) for operator in operators] == [
        Activation.NONE,
        Activation(kind),
    ]


def test_an_activation_is_fused_into_an_addition() -> None:
    graph = build(lambda b, x: b.add(Unary("relu"), [b.add(Binary("add"), [x, x], "y")], "z"))
    assert check(graph, fuse_activations) == [Binary("add", Activation.RELU)]


def test_an_activation_is_not_fused_where_others_read_the_value_before_it_or_one_is_there() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        y = builder.add(conv(RNG, 3, 3, (1, 1)), [x], "y")
        return builder.add(Binary("add"), [y, builder.add(Unary("relu"), [y], "z")], "sum")

    assert Unary("relu") in check(build(make), fuse_activations)
    twice = chain(conv(RNG, 6, 4, (1, 1)), Unary("relu"), Unary("relu6"))
    assert check(build(twice, channels=6), fuse_activations)[2:] == [Unary("relu6")]


def written_out(style: str) -> Callable[[GraphBuilder, str], str]:
    def constant(scale: float, offset: float) -> Affine:
        return Affine(np.full(1, scale, np.float32), np.full(1, offset, np.float32))

    def make(builder: GraphBuilder, x: str) -> str:
        gate = builder.add(Unary("relu6"), [builder.add(constant(1, 3), [x], "plus3")], "clipped")
        if style == "late":
            return builder.add(constant(1 / 6, 0), [builder.add(Binary("mul"), [gate, x], "y")], "z")
        gate = builder.add(constant(1 / 6, 0), [gate], "gate")
        return gate if style == "gate" else builder.add(Binary("mul"), [x, gate], "y")

    return make


@pytest.mark.parametrize(
    ("style", "kind"), [("late", "hard_swish"), ("early", "hard_swish"), ("gate", "hard_sigmoid")]
)
def test_hard_functions_are_recognised(style: str, kind: str) -> None:
    graph = build(written_out(style), channels=5)
    assert check(graph, lambda g: drop_unused(recognise_hard_functions(g)))[1:] == [Unary(kind)]


@pytest.mark.parametrize("scale", [1 / 5, 1 / 7])
def test_other_constants_are_not_taken_for_hard_functions(scale: float) -> None:
    constants = [
        Affine(np.full(1, a, np.float32), np.full(1, b, np.float32)) for a, b in ((1, 3), (scale, 0))
    ]
    graph = build(chain(constants[0], Unary("relu6"), constants[1]), channels=5)
    assert Unary("hard_sigmoid") not in check(graph, recognise_hard_functions)


def test_the_layer_before_a_hard_swish_takes_its_scale_for_int8() -> None:
    graph = build(chain(conv(RNG, 6, 4, (3, 3)), Unary("hard_swish")), channels=6)
    operators = check(graph, lambda g: lower(g, exact_border=False))
    assert [type(operator) for operator in operators] == [Conv2D, Conv2D, Unary]
    assert operators[-1] == SCALED
    whole = check(graph, lambda g: lower(g, exact_border=False, whole_hard_swish=True))
    assert whole[-1] == check(graph, lambda g: lower(g, exact_border=True))[-1] == Unary("hard_swish")


def test_a_hard_swish_without_a_layer_of_its_own_gets_one() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        y = builder.add(conv(RNG, 3, 3, (1, 1)), [x], "y")
        return builder.add(Binary("add"), [y, builder.add(Unary("hard_swish"), [y], "z")], "sum")

    operators = check(build(make), lambda g: lower(g, exact_border=False))
    assert [type(operator) for operator in operators] == [Conv2D, DepthwiseConv2D, Unary, Binary]


# Pixels ----------------------------------------------------------------------------------------------------------


def first_layer(normalization: Normalization, pads: Pads, groups: int = 1) -> tuple[Graph, Graph]:
    """Return a graph that takes normalized numbers, and the same graph taking pixels."""
    builder = GraphBuilder("small", "image", (1, 6, 6, 3))
    x = builder.add(conv(RNG, 3, 6, (3, 3), pads=pads, groups=groups), ["image"], "conv")
    graph = builder.graph(builder.add(Unary("relu"), [x], "relu"))
    return graph, normalize_pixels(graph, normalization)


@pytest.mark.parametrize(
    "normalization", [CENTRED, SLIM, TORCHVISION, Normalization((0, 1, 200), (1, 20, 300))]
)
def test_normalization_is_put_in_front(normalization: Normalization) -> None:
    graph, taking_pixels = first_layer(normalization, Pads(1, 1, 1, 1))
    images = photos(2, (6, 6))
    normalized = normalization(torch.from_numpy(images).permute(0, 3, 1, 2).float()).permute(0, 2, 3, 1)
    values: dict[str, torch.Tensor] = {}
    run(taking_pixels, images, 8, lambda name, value: values.update({name: value}))
    np.testing.assert_allclose(values["image"], normalized, atol=1e-4)
    assert graph.pixels is None
    assert taking_pixels.require_pixels().zero_point == np.ceil(np.mean(normalization.mean) - 0.5)


@pytest.mark.parametrize("groups", [1, 3])
def test_normalization_folds_exactly_without_padding(groups: int) -> None:
    _, graph = first_layer(TORCHVISION, Pads(), groups)
    assert [type(operator) for operator in check(graph, fold_affine)] == [Conv2D, Unary]
    assert [type(operator) for operator in check(graph, fold_border)] == [Conv2D, Unary]


def test_folding_the_border_changes_the_border_only() -> None:
    _, graph = first_layer(TORCHVISION, Pads(1, 1, 1, 1))
    folded = fold_border(graph)
    assert [type(node.operator) for node in folded.nodes] == [Conv2D, Unary]
    images = photos(2, (6, 6))
    before, after = run(graph, images), run(folded, images)
    np.testing.assert_allclose(after[:, 1:-1, 1:-1], before[:, 1:-1, 1:-1], atol=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_with_a_whole_zero_the_border_is_exact() -> None:
    _, graph = first_layer(CENTRED, Pads(1, 1, 1, 1))
    assert [type(operator) for operator in check(graph, fold_affine)] == [Conv2D, Unary]


def test_a_first_depthwise_layer_takes_the_normalization_too() -> None:
    builder = GraphBuilder("small", "image", (1, 6, 6, 3))
    graph = builder.graph(builder.add(depthwise(RNG, 3, (3, 3), pads=Pads(1, 1, 1, 1)), ["image"], "first"))
    folded = fold_border(normalize_pixels(graph, TORCHVISION))
    assert [type(node.operator) for node in folded.nodes] == [DepthwiseConv2D]


def test_names_that_are_taken_are_left_alone() -> None:
    builder = GraphBuilder("small", "image", (1, 6, 6, 3))
    x = builder.add(Unary("relu"), ["image"], "image/pixels")
    graph = builder.graph(builder.add(Unary("relu6"), [x], "image/normalize"))
    assert [node.output for node in normalize_pixels(graph, CENTRED).nodes] == [
        "image",
        "image/pixels",
        "image/normalize",
    ]
    assert len(check(normalize_pixels(graph, CENTRED), lambda g: g)) == 3


# Padding ---------------------------------------------------------------------------------------------------------


def test_padding_is_absorbed_and_put_out_again_where_no_file_can_say_it() -> None:
    same, other = Pads(1, 1, 1, 1), Pads(2, 0, 1, 1)
    graph = build(
        chain(
            Pad(Pads(1, 0, 0, 1)),
            Pad(Pads(0, 1, 1, 0)),
            conv(RNG, 3, 4, (3, 3)),
            Pad(other),
            depthwise(RNG, 4, (3, 3)),
        )
    )
    operators = check(graph, absorb_padding)
    assert [operator.pads for operator in operators if isinstance(operator, Conv2D | DepthwiseConv2D)] == [
        same,
        other,
    ]
    kinds = [type(operator) for operator in check(graph, lambda g: lower_padding(absorb_padding(g)))]
    assert kinds == [Conv2D, Pad, DepthwiseConv2D]


def test_padding_that_others_read_stays() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        padded = builder.add(Pad(Pads(1, 1, 1, 1)), [x], "padded")
        y = builder.add(conv(RNG, 3, 3, (3, 3)), [padded], "y")
        return builder.add(Concat(3), [y, builder.add(Pool("max", (3, 3), (1, 1)), [padded], "z")], "both")

    assert any(isinstance(operator, Pad) for operator in check(build(make), absorb_padding))


# Cleaning up and lowering ----------------------------------------------------------------------------------------


def test_reshapes_are_merged() -> None:
    graph = build(chain(Reshape((1, 2, 18, 3)), Reshape((1, 36, 3)), Reshape((1, 36, 3)), Reshape((1, 108))))
    assert check(graph, merge_reshapes) == [Reshape((1, 108))]


def test_concatenations_are_merged_where_nobody_else_reads_the_inner_one() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        left, right = builder.add(Unary("relu"), [x], "left"), builder.add(Unary("sigmoid"), [x], "right")
        inner, read = (builder.add(Concat(3), [left, right], name) for name in ("inner", "read"))
        across = builder.add(Concat(2), [x, x], "across")
        other = builder.add(Concat(2), [across, x], "other")
        outer = builder.add(Concat(3), [inner, x, read], "outer")
        both = [builder.add(Mean(False), [name], f"{name}/mean") for name in (outer, read, other)]
        return builder.add(Concat(1), both, "all")

    graph = build(make, channels=5)
    merged = merge_concats(graph)
    inputs = {node.name: node.inputs for node in merged.nodes}
    assert "inner" not in inputs
    assert "across" not in inputs
    assert inputs["outer"] == ("left", "right", merged.nodes[0].output, "read")
    assert inputs["other"] == (merged.nodes[0].output,) * 3
    images = photos(2, graph.size)
    np.testing.assert_array_equal(run(merged, images), run(graph, images))


def test_a_mean_and_its_reshape_become_one_even_behind_a_reshape_that_does_nothing() -> None:
    graph = build(
        chain(Unary("relu"), Reshape((1, 6, 6, 5)), Mean(), Reshape((1, 5)), Unary("sigmoid")), channels=5
    )
    assert check(graph, merge_reshapes)[1:] == [Unary("relu"), Mean(keep_dims=False), Unary("sigmoid")]


def test_a_mean_that_others_read_keeps_its_shape() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        mean = builder.add(Mean(), [x], "mean")
        gated = builder.add(Mean(False), [builder.add(Binary("mul"), [x, mean], "gated")], "other")
        return builder.add(Binary("add"), [builder.add(Reshape((1, 5)), [mean], "flat"), gated], "sum")

    assert Mean() in check(build(make, channels=5), merge_reshapes)


def test_the_final_softmax_goes_and_an_inner_one_stays() -> None:
    flat = build(chain(Mean(), Softmax(), Reshape((1, 5))), channels=5)
    plain = drop_final_softmax(flat)
    assert [type(node.operator) for node in plain.nodes] == [Conv2D, Mean, Reshape]
    images = photos(2, flat.size)
    np.testing.assert_allclose(torch.from_numpy(run(plain, images)).softmax(1), run(flat, images), atol=1e-6)
    inner = build(chain(Softmax(), Mean(False)), channels=5)
    assert check(inner, drop_final_softmax)[1:] == [Softmax(), Mean(False)]
    turned = build(chain(Softmax(), Reshape((1, 180))), channels=5)  # one softmax for each pixel
    assert check(turned, drop_final_softmax)[1:] == [Softmax(), Reshape((1, 180))]


def test_hard_sigmoid_and_affine_are_lowered_to_what_a_file_has() -> None:
    graph = build(chain(Unary("hard_sigmoid"), Mean(False), affine(5), affine(1)), channels=5)
    operators = check(graph, lambda g: fuse_activations(lower_affine(lower_hard_sigmoid(g))))
    kinds = [type(operator) for operator in operators[1:]]
    assert kinds == [DepthwiseConv2D] * 2 + [Mean] + [Reshape, DepthwiseConv2D, Reshape] * 2


def test_names_become_those_of_the_modules() -> None:
    graph = build(chain(conv(RNG, 5, 4, (1, 1)), Unary("relu")), channels=5)
    nodes = [replace(n, name=f"features/features.{i}/conv/Conv_{i}") for i, n in enumerate(graph.nodes)]
    renamed = graph.with_nodes(nodes)
    check(renamed, name_after_modules)
    assert [node.name for node in name_after_modules(renamed).nodes][:2] == [
        "features.0/conv",
        "features.1/conv",
    ]
