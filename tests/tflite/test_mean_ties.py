"""Means next to a tie: the order of float32 operations decides there, and it must be LiteRT's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_graphs import lite

from edgenet.graph.ir import Mean, PixelEncoding
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.integer import apply_integer
from edgenet.quantize.quantized_graph import HIGH, LOW, Encoding, QuantizedGraph
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import raw_program

CHANNELS = 4096


@pytest.mark.parametrize("seed", range(12))
def test_a_mean_next_to_a_tie_is_litert_s(seed: int) -> None:
    random = np.random.default_rng(seed)
    side = (2, 4, 7, 10)[seed % 4]
    builder = GraphBuilder("mean", "image", (1, side, side, CHANNELS))
    output = builder.add(Mean(False), ["image"], "mean")
    graph = builder.graph(output, PixelEncoding(1.0, 0))
    scale = np.float32(random.uniform(0.005, 0.1))
    tied, at = int(random.integers(500, 1500)), random.integers(10, 40) + 0.5
    out_scale = np.float32(
        scale * tied / (side * side * at)
    )  # a sum of `tied` steps is `at` steps of the output
    encodings = {
        "image": Encoding(float(scale), LOW),
        output: Encoding(float(out_scale), int(random.integers(LOW, 0))),
    }
    quantized = QuantizedGraph(graph, encodings, {})
    x = sums_near(random, side, tied)
    given = lite(write_tflite(raw_program(quantized)), x)
    np.testing.assert_array_equal(
        apply_integer(quantized, graph.nodes[0], [torch.from_numpy(x)]).numpy(), given
    )


def sums_near(random: np.random.Generator, side: int, tied: int) -> np.ndarray:
    """Return int8 [1, side, side, C] whose channels sum to `tied` steps above the zero point, one more, or one less."""
    count = side * side
    steps = np.full((count, CHANNELS), min(tied // count, HIGH - LOW), np.int64)
    wanted = tied + random.integers(-1, 2, CHANNELS)
    steps[0] += wanted - steps.sum(0)
    for row in range(count - 1):  # what is beyond a byte goes on to the next position
        over = steps[row] - steps[row].clip(0, HIGH - LOW)
        steps[row] -= over
        steps[row + 1] += over
    return (steps.clip(0, HIGH - LOW) + LOW).astype(np.int8).reshape(1, side, side, CHANNELS)
