"""The recipes' steps: equalization keeps the function, and each step lowers the error that it is meant to lower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgenet.errors import EdgenetError
from edgenet.graph.executor import decode_pixels, run
from edgenet.graph.ir import (
    WEIGHTED,
    Conv2D,
    FullyConnected,
    Graph,
    PixelEncoding,
    Reshape,
    Transpose,
    per_channel,
)
from edgenet.graph.shapes import GraphBuilder
from edgenet.progress import silent
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.equalize import CAP_ROOM, TAIL_HEADROOM, equalize
from edgenet.quantize.fake_quantization import FakeQuantized
from edgenet.quantize.integer import run_integer
from edgenet.quantize.quantization_errors import sqnr_db
from edgenet.quantize.quantized_graph import QuantizedGraph, dequantize_array
from edgenet.quantize.ranges import channel_statistics, encode_tensors, observe_ranges, tail_index
from edgenet.quantize.recipes import RECIPES
from edgenet.quantize.rounding import round_by_second_moments, round_nearest, scales_for
from edgenet.quantize.sensitivity import logit_sensitivity
from tests.reshaped_graphs import rotate_and_equalize
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


@pytest.fixture(scope="module", params=[0, 1, 2])
def graph(request: pytest.FixtureRequest) -> Graph:
    return uneven_network(request.param)


def logits_sqnr(quantized: QuantizedGraph, graph: Graph, images: np.ndarray) -> float:
    wanted = run(graph, images)
    given = dequantize_array(run_integer(quantized, images), quantized.encodings[quantized.graph.output])
    return sqnr_db(float(np.square(wanted).sum()), float(np.square(wanted - given).sum()))


def test_reshaping_the_channels_keeps_the_function(graph: Graph) -> None:
    images = photos(8, graph.size)
    reshaped = rotate_and_equalize(graph, images)
    assert np.abs(run(reshaped, images) - run(graph, images)).max() < 1e-3
    changed = [
        not np.allclose(a.operator.weight, b.operator.weight)
        for a, b in zip(graph.nodes, reshaped.nodes, strict=True)
        if isinstance(a.operator, WEIGHTED)
    ]
    assert sum(changed) >= 5


def test_equalization_evens_the_channels(graph: Graph) -> None:
    images = photos(8, graph.size)
    before = channel_statistics(graph, images)["stem"].high
    statistics = channel_statistics(graph, images)
    equalized = equalize(graph, statistics, logit_sensitivity(graph, images, statistics))
    after = channel_statistics(equalized, images)["stem"].high
    assert after.max() / np.median(after) < before.max() / np.median(before) / 2
    assert after.max() <= 6.0001


def test_equalization_leaves_room_below_a_cap_for_photos_not_seen() -> None:
    graph = uneven_network(1)
    images = photos(40, graph.size)
    statistics = channel_statistics(graph, images)
    equalized = equalize(graph, statistics, logit_sensitivity(graph, images[:4], statistics))
    after = channel_statistics(equalized, images)["stem"].high
    scaled = after > statistics["stem"].high * 1.01
    assert scaled.any()
    np.testing.assert_allclose(
        (after * np.exp(TAIL_HEADROOM * statistics["stem"].tail))[scaled & (after < 5.9)].max() * CAP_ROOM,
        6,
        rtol=1e-3,
    )


def test_the_tail_index_is_that_of_a_known_distribution() -> None:
    """The tail index of a Pareto distribution with exponent a is 1 / a; that of a bounded distribution is near 0."""
    random = np.random.default_rng(0)
    maxima = np.stack(
        [random.pareto(4, 20_000) + 1, random.uniform(0.99, 1, 20_000), np.zeros(20_000)], axis=1
    )
    heavy, bounded, silent_channel = tail_index(maxima)
    assert abs(heavy - 0.25) < 0.02
    assert bounded < 0.01
    assert silent_channel == 0
    assert (tail_index(maxima[:1]) == 0).all()


def test_every_recipe_is_better_than_the_one_before(graph: Graph) -> None:
    images, others = photos(24, graph.size), photos(40, graph.size)[24:]
    names = ("minmax", "fast", "balanced", "best")
    figures = [logits_sqnr(RECIPES[name].quantize(graph, images, silent), graph, others) for name in names]
    assert figures[1] > figures[0] + 1
    assert figures[2] > figures[1] - 1
    assert figures[3] > figures[2] - 1


def test_rounding_by_second_moments_lowers_the_output_error() -> None:
    graph = uneven_network(3)
    random = np.random.default_rng(4)
    for name in ("expand", "depthwise"):
        operator = next(node for node in graph.nodes if node.name == name).operator
        assert isinstance(operator, WEIGHTED)
        scales = scales_for(operator, 1.0) * 16  # coarse, so that rounding matters
        taps = operator.weight.reshape(len(operator.bias), -1).shape[1]
        rows = random.normal(0, 1, (500, taps)) @ random.normal(0, 1, (taps, taps))
        moments = torch.from_numpy(np.cov(rows.T, bias=True))
        depthwise = name == "depthwise"
        given = moments.expand(len(operator.bias), -1, -1) if depthwise else moments
        errors = []
        for rounded in (round_nearest(operator, scales), round_by_second_moments(operator, scales, given)):
            off = rounded * per_channel(operator, scales) - operator.weight
            flat = off.reshape(taps, -1).T if depthwise else off.reshape(len(operator.bias), -1)
            errors.append(float(((rows @ flat.T) ** 2).sum()))
        assert errors[1] < 0.9 * errors[0], name


def test_moments_that_are_rounding_errors_round_to_nearest() -> None:
    """If an input never changes, its moments about the mean are noise, and may even be negative."""
    graph = uneven_network(3)
    operator = next(node for node in graph.nodes if node.name == "expand").operator
    assert isinstance(operator, WEIGHTED)
    scales = scales_for(operator, 1.0)
    taps = operator.weight.reshape(len(operator.bias), -1).shape[1]
    noise = np.random.default_rng(0).normal(0, 1e-3, (taps, taps))
    rounded = round_by_second_moments(operator, scales, torch.from_numpy(noise + noise.T))
    np.testing.assert_array_equal(rounded, round_nearest(operator, scales))


def mean_error(quantized: QuantizedGraph, graph: Graph, images: np.ndarray, name: str) -> float:
    """Return by how much the means of a tensor's channels are off, on average."""
    wanted: list[np.ndarray] = []
    given: list[np.ndarray] = []
    run(graph, images, 1, lambda tensor, value: wanted.append(value.numpy()) if tensor == name else None)
    run_integer(
        quantized, images, lambda tensor, value: given.append(value.numpy()) if tensor == name else None
    )
    real = dequantize_array(np.concatenate(given), quantized.encodings[name])
    return float(np.abs(real.mean((0, 1, 2)) - np.concatenate(wanted).mean((0, 1, 2))).mean())


def test_bias_correction_matches_the_mean_after_the_activation() -> None:
    graph = uneven_network(5)
    images = photos(24, graph.size)
    encodings = encode_tensors(graph, observe_ranges(graph, images))
    plain, corrected = (
        quantize_layers(
            graph, encodings, images, LayerOptions(second_moments=False, correct_bias=correct), silent
        )
        for correct in (False, True)
    )
    for name in ("depthwise", "expand", "last"):
        assert mean_error(corrected, graph, images, name) < 0.3 * mean_error(plain, graph, images, name)


def test_dead_channels_and_layers_are_survived() -> None:
    graph = uneven_network(6)
    nodes = []
    for node in graph.nodes:
        operator = node.operator
        if node.name == "stem":
            weight, bias = operator.weight.copy(), operator.bias.copy()  # type: ignore[union-attr]
            weight[:4], bias[:4] = 0, -1
            node = replace(node, operator=replace(operator, weight=weight, bias=bias))  # type: ignore[type-var]
        if node.name == "again":
            node = replace(node, operator=replace(operator, weight=operator.weight * 0))  # type: ignore
        nodes.append(node)
    graph = graph.with_nodes(nodes)
    images = photos(6, graph.size)
    for name, recipe in RECIPES.items():
        assert logits_sqnr(recipe.quantize(graph, images, silent), graph, images) > 10, name


@pytest.mark.parametrize("factor", [1e-4, 1e5])
def test_activations_beyond_half_precision_are_kept(factor: float) -> None:
    """Linear layers may give numbers of any size; the photos' activations must not overflow while they wait."""
    graph = uneven_network(9)
    nodes = []
    for node in graph.nodes:
        operator = node.operator
        if node.name in ("project", "again"):
            assert isinstance(operator, Conv2D)
            operator = replace(operator, weight=operator.weight * factor, bias=operator.bias * factor)
        elif node.name in ("expand", "last"):
            assert isinstance(operator, Conv2D)
            operator = replace(operator, weight=operator.weight / factor)
        nodes.append(replace(node, operator=operator))
    scaled = graph.with_nodes(nodes)
    images = photos(12, graph.size)
    plain, far = (
        logits_sqnr(RECIPES["balanced"].quantize(g, images, silent), g, images) for g in (graph, scaled)
    )
    assert far > plain - 3


def test_a_network_that_moves_its_batch_axis_is_refused() -> None:
    builder = GraphBuilder("turned", "image", (1, 4, 4, 3))
    turned = builder.add(Transpose((3, 1, 2, 0)), ["image"], "turn")
    back = builder.add(Reshape((1, 48)), [turned], "back")
    weight = np.ones((2, 48), np.float32)
    logits = builder.add(FullyConnected(weight, np.zeros(2, np.float32)), [back], "logits")
    graph = builder.graph(logits, PixelEncoding(1 / 127.5, 127))
    with pytest.raises(EdgenetError, match="--recipe minmax"):
        RECIPES["balanced"].quantize(graph, photos(2, graph.size), silent)
    assert RECIPES["minmax"].quantize(graph, photos(2, graph.size), silent).weights


def test_one_photo_is_enough_to_run() -> None:
    graph = uneven_network(7)
    for recipe in RECIPES.values():
        assert recipe.quantize(graph, photos(1, graph.size), silent).weights


def test_the_fake_quantized_reading_is_the_integer_one() -> None:
    graph = uneven_network(8)
    images = photos(6, graph.size)
    quantized = RECIPES["balanced"].quantize(graph, images, silent)
    student = FakeQuantized(quantized)
    with torch.no_grad():
        fake = student(decode_pixels(graph, images)).numpy()
    exact = dequantize_array(run_integer(quantized, images), quantized.encodings[graph.output])
    steps = np.abs(fake - exact) / quantized.encodings[graph.output].scale
    assert steps.mean() < 0.2
    assert steps.max() < 2.5
    again = student.finished()
    assert all((again.weights[n].values == quantized.weights[n].values).all() for n in quantized.weights)
    student(decode_pixels(graph, images)).square().sum().backward()
    assert all(
        float(parameter.grad.abs().sum()) > 0
        for parameter in student.parameters()
        if parameter.grad is not None
    )
    assert all(parameter.grad is not None for parameter in student.parameters())
