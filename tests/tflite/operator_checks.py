"""Checks of one operator: a small graph around it, written as float and as int8, compared with LiteRT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from small_graphs import Make, as_int8, conv, float_file, lite, photos, quantize

from edgenet.graph.executor import decode_pixels, run
from edgenet.graph.ir import Graph, Operator
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.integer import run_integer
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import raw_program

Rng = np.random.Generator


def check(graph: Graph, seed: int = 0, count: int = 3) -> None:
    """Compare float and int8 with LiteRT on random photos."""
    images, calibration = photos(count, graph.size, seed), photos(4, graph.size, seed + 1)
    expected = lite(float_file(graph), decode_pixels(graph, images).numpy())
    np.testing.assert_allclose(run(graph, images), expected, atol=1e-4, rtol=1e-5)
    quantized = quantize(graph, calibration)
    in_litert = lite(write_tflite(raw_program(quantized)), as_int8(images))
    np.testing.assert_array_equal(run_integer(quantized, images), in_litert)


def scaled(builder: GraphBuilder, source: str, rng: Rng, channels: int) -> str:
    """Return features of a random size and offset: every test value passes through other scales and zero points."""
    operator = conv(rng, builder.shapes[source][3], channels, (1, 1))
    factor = np.float32(10 ** rng.uniform(-1.3, 1.3))
    offset = np.float32(rng.normal() * factor * rng.choice([0, 1, 3]))
    return builder.add(
        replace(operator, weight=operator.weight * factor, bias=operator.bias * factor + offset),
        [source],
        "features",
    )


def single(operator: Operator) -> Make:
    return lambda builder, x: builder.add(operator, [x], "result")
