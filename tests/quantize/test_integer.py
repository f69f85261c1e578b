"""The sums of the integer execution must be exact, however long.

tests/tflite checks that it agrees with LiteRT.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_graphs import build, conv, depthwise, fully_connected, photos, quantize

from edgenet.graph.executor import run
from edgenet.graph.ir import Activation, Graph, Mean, Node, Weighted
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.integer import apply_integer, run_integer
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph, QuantizedWeights, dequantize_array

RNG = np.random.default_rng(5)
LAYERS: dict[str, tuple[Weighted, tuple[int, ...]]] = {
    "fully connected": (fully_connected(RNG, 2000, 64), (1, 2000)),
    "convolution": (conv(RNG, 300, 64, (3, 3)), (1, 3, 3, 300)),
    "grouped": (conv(RNG, 600, 64, (3, 3), groups=2), (1, 3, 3, 600)),
    "depthwise": (depthwise(RNG, 64, (40, 40)), (1, 40, 40, 64)),
    "short": (conv(RNG, 5, 64, (3, 3)), (1, 3, 3, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_sums_are_exact_beyond_what_float32_holds(name: str) -> None:
    """All products are large; the bias brings each sum back to a small number, which any error would change."""
    layer, shape = LAYERS[name]
    values = RNG.choice([125, 126, 127], layer.weight.shape).astype(np.int8)
    x = torch.from_numpy(RNG.integers(100, 128, shape).astype(np.int8))
    sums = _exact_sums(layer, values, x.numpy().astype(np.int64) + 128)
    assert (np.abs(sums).max() > 2**24) == (name != "short")
    expected = RNG.integers(-100, 100, 64)
    weights = QuantizedWeights(values, np.ones(64, np.float32), (expected - sums).astype(np.int32))
    graph = Graph("one", (Node("y", layer, ("x",), "y"),), "x", "y", {"x": shape, "y": (1, 64)})
    quantized = QuantizedGraph(graph, {"x": Encoding(1.0, -128), "y": Encoding(1.0, 0)}, {"y": weights})
    result = apply_integer(quantized, graph.nodes[0], [x])
    np.testing.assert_array_equal(result.reshape(-1).numpy(), expected)


def _exact_sums(layer: Weighted, values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the sums, int64 [64]: the window covers the whole picture, so there is one sum for each output channel."""
    weight = values.astype(np.int64)
    if weight.shape[0] == 1:
        return (weight * x).sum((0, 1, 2))
    groups = getattr(layer, "groups", 1)
    parts = np.split(x.reshape(-1, x.shape[-1]), groups, axis=1)
    rows = np.split(weight.reshape(64, -1), groups)
    return np.concatenate([row @ part.reshape(-1) for row, part in zip(rows, parts, strict=True)])


def test_int8_follows_float_through_a_network() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        y = builder.add(replace(conv(RNG, 3, 16, (3, 3)), activation=Activation.RELU6), [x], "a")
        y = builder.add(Mean(False), [builder.add(depthwise(RNG, 16, (3, 3)), [y], "b")], "c")
        return builder.add(fully_connected(RNG, 16, 9), [y], "d")

    graph, images = build(make, (12, 12)), photos(12, (12, 12))
    quantized = quantize(graph, images)
    result = dequantize_array(run_integer(quantized, images), quantized.encodings["d"])
    error, signal = result - run(graph, images), run(graph, images)
    assert 10 * np.log10((signal**2).sum() / (error**2).sum()) > 30


def test_every_tensor_is_shown_to_the_observer() -> None:
    graph = build(lambda b, x: b.add(conv(RNG, 3, 4, (3, 3)), [x], "y"))
    seen: list[tuple[str, torch.dtype, tuple[int, ...]]] = []
    quantized = quantize(graph, photos(2, graph.size))
    run_integer(
        quantized,
        photos(1, graph.size),
        lambda name, value: seen.append((name, value.dtype, tuple(value.shape))),
    )
    assert seen == [("image", torch.int8, (1, 6, 6, 3)), ("y", torch.int8, (1, 4, 4, 4))]


def test_no_photos_give_no_logits() -> None:
    graph = build(lambda b, x: b.add(Mean(False), [x], "y"))
    empty = np.zeros((0, 6, 6, 3), np.uint8)
    assert run_integer(quantize(graph, photos(2, (6, 6))), empty).shape == (0, 3)
    assert run(graph, empty).shape == (0, 3)
