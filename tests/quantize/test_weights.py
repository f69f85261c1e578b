"""Weights and biases as integers: rounding, channels without weights, and sums that must not overflow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import as_int8, build, conv, depthwise, fully_connected, lite, photos, quantize

from edgenet.graph.executor import run
from edgenet.graph.ir import (
    Activation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    output_axis,
    per_channel,
)
from edgenet.graph.shapes import GraphBuilder
from edgenet.progress import silent
from edgenet.quantize import equalize
from edgenet.quantize.integer import run_integer
from edgenet.quantize.quantized_graph import (
    BIAS_LIMIT,
    WEIGHT_LIMIT,
    Encoding,
    QuantizedGraph,
    QuantizedWeights,
    dequantize_array,
    finished,
)
from edgenet.quantize.recipes import RECIPES
from edgenet.quantize.rounding import quantize_bias, quantize_weights, scales_for
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import raw_program

RNG = np.random.default_rng(0)
LAYERS = [conv(RNG, 6, 4, (3, 3)), depthwise(RNG, 6, (3, 3), 2), fully_connected(RNG, 6, 5)]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_weights_are_held_to_half_a_step_of_their_channel(
    layer: Conv2D | DepthwiseConv2D | FullyConnected,
) -> None:
    weights = quantize_weights(layer, 0.05)
    assert weights.values.dtype == np.int8
    assert weights.values.shape == layer.weight.shape
    assert weights.scales.dtype == np.float32
    steps = per_channel(layer, weights.scales)
    assert (np.abs(weights.values * steps - layer.weight) <= steps * 0.5001).all()
    largest = np.abs(np.moveaxis(weights.values, output_axis(layer), 0).reshape(len(layer.bias), -1)).max(1)
    assert (largest == WEIGHT_LIMIT).all()
    bias_steps = np.float64(0.05) * weights.scales
    assert (np.abs(weights.bias * bias_steps - layer.bias) <= bias_steps * 0.5001).all()


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("tiny", [0.0, 1e-42, 1e-12])
@pytest.mark.parametrize("bias", [0.0, 1e-9, 3.0, -1e6])
def test_dead_channels_do_not_overflow(
    layer: Conv2D | DepthwiseConv2D | FullyConnected, tiny: float, bias: float
) -> None:
    weight, biases = np.moveaxis(layer.weight.copy(), output_axis(layer), 0), layer.bias.copy()
    weight[1] = tiny
    biases[1] = bias
    dead = replace(layer, weight=np.moveaxis(weight, 0, output_axis(layer)), bias=biases)
    weights = quantize_weights(dead, 0.01)
    assert np.isfinite(weights.scales).all()
    assert (weights.scales > 0).all()
    assert np.abs(weights.bias.astype(np.int64)).max() <= BIAS_LIMIT * 1.0001
    assert weights.bias[1] * np.float64(0.01) * weights.scales[1] == pytest.approx(bias, rel=1e-6, abs=1e-2)


def test_dead_channels_run_in_litert() -> None:
    layer = conv(RNG, 3, 5, (3, 3))
    weight, bias = layer.weight.copy(), layer.bias.copy()
    weight[1], bias[1] = 0, 2.5
    weight[3], bias[3] = 1e-30, -1.5
    graph = build(lambda b, x: b.add(replace(layer, weight=weight, bias=bias), [x], "y"))
    images = photos(3, graph.size)
    quantized = quantize(graph, images)
    integers = run_integer(quantized, images)
    np.testing.assert_array_equal(lite(write_tflite(raw_program(quantized)), as_int8(images)), integers)
    np.testing.assert_allclose(
        dequantize_array(integers, quantized.encodings["y"]), run(graph, images), atol=0.05
    )


def test_the_scale_of_a_bias_is_that_of_the_products() -> None:
    bias = quantize_bias(np.float32([1.0, -2.0, 0.0]), 0.5, np.float32([0.25, 0.5, 1.0]))
    assert bias.dtype == np.int32
    assert bias.tolist() == [8, -8, 0]


def test_scales_are_the_largest_weight_over_127() -> None:
    layer = LAYERS[0]
    expected = np.abs(layer.weight).reshape(4, -1).max(1) / np.float32(127)
    np.testing.assert_array_equal(scales_for(layer, 0.05), expected)


@pytest.mark.parametrize("part", [1, 14, 1000])
@pytest.mark.parametrize("shape", [(1, 1, 1, 7), (10, 1, 1, 1)], ids=["inputs", "outputs"])
def test_weights_change_by_parts_as_they_would_all_at_once(
    part: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equalize, "PART", part)
    random = np.random.default_rng(0)
    weight, factors = random.normal(size=(10, 2, 3, 7)).astype(np.float32), random.uniform(1, 64, shape)
    expected = (weight.astype(np.float64) / factors).astype(np.float32)
    np.testing.assert_array_equal(equalize._in_parts(np.divide, weight, factors), expected)


@pytest.mark.parametrize("recipe", ["minmax", "fast", "balanced"])
def test_a_layer_of_tiny_outputs_behind_a_dead_one_runs_in_litert(recipe: str) -> None:
    """The dead layer's zeros have the scale 1, and a factor of 256 and more ends the process in XNNPACK."""
    dead, tiny = conv(RNG, 3, 4, (1, 1)), conv(RNG, 4, 5, (1, 1))
    dead = replace(dead, weight=dead.weight * 0, bias=dead.bias * 0 - 1, activation=Activation.RELU)
    tiny = replace(tiny, weight=tiny.weight * 10, bias=tiny.bias * np.float32(1e-3))

    def make(builder: GraphBuilder, x: str) -> str:
        x = builder.add(tiny, [builder.add(dead, [x], "dead")], "tiny")
        return builder.add(fully_connected(RNG, 5, 3), [builder.add(Mean(False), [x], "mean")], "logits")

    graph, images = build(make), photos(6, (6, 6))
    quantized = RECIPES[recipe].quantize(graph, images, silent)
    given = run_integer(quantized, images)
    np.testing.assert_array_equal(lite(write_tflite(raw_program(quantized)), as_int8(images)), given)
    real = dequantize_array(given, quantized.encodings[graph.output])
    np.testing.assert_allclose(real, run(graph, images), atol=0.02 * np.ptp(real))


def test_finer_steps_clip_only_what_they_cannot_hold() -> None:
    layer = fully_connected(RNG, 4, 2)
    weights = QuantizedWeights(
        np.array([[1, -2, 60, 127], [1, 2, 3, 4]], np.int8),
        np.array([4.0, 0.01], np.float32),
        np.array([3, 2**29], np.int32),
    )
    builder = GraphBuilder("small", "image", (1, 4))
    graph = builder.graph(builder.add(layer, ["image"], "layer"))
    encodings = {"image": Encoding(1.0, 0), "layer": Encoding(1 / 255, 0)}
    fine = finished(QuantizedGraph(graph, encodings, {"layer": weights})).weights["layer"]
    assert fine.scales.tolist() == [1.0, np.float32(0.01)]
    assert fine.values.tolist() == [[4, -8, 127, 127], [1, 2, 3, 4]]
    assert fine.bias.tolist() == [12, 2**29]
