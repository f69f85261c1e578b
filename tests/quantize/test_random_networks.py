"""Random networks of all operators: every recipe makes integers of them, and LiteRT computes what edgenet computes.

Where everything is int8, every integer is the same. Float kernels differ in the last bits, which can flip a later
rounding; behind them the logits may be a step or two apart.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from random_networks import random_network
from small_graphs import float_file, lite, photos

from edgenet.graph.executor import decode_pixels, run, run_tensors
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.graph.simplify import drop_final_softmax, simplify
from edgenet.progress import silent
from edgenet.quantize.integer import real_logits
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.tflite.from_graph import float_program, int8_program
from edgenet.tflite.to_graph import float_graph, quantized_graph
from edgenet.workflows.calibration import lite_logits
from edgenet.zoo.classifier import Normalization

NORMALIZATION = Normalization((123.0, 116.0, 103.0), (58.0, 57.0, 57.5))
SLOW_EVERY = 6


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes as many seeds as `--random-networks` wants."""
    if "seed" in metafunc.fixturenames:
        step = SLOW_EVERY if "slow_recipe" in metafunc.fixturenames else 1
        metafunc.parametrize("seed", range(0, metafunc.config.getoption("--random-networks"), step))


def normalized(images: NDArray[np.uint8]) -> torch.Tensor:
    """Return photos as a network sees them in training, float32 [n, H, W, 3]."""
    mean, std = np.float32(NORMALIZATION.mean), np.float32(NORMALIZATION.std)
    return torch.from_numpy((images.astype(np.float32) - mean) / std)


def test_a_float_file_and_the_graph_read_from_it_compute_the_network(seed: int) -> None:
    network = random_network(seed)
    images = photos(3, network.size, seed)
    expected = run_tensors(network, normalized(images)).numpy()
    near = 1e-3 * float(np.abs(expected).max()) + 1e-5
    graph = lower(simplify(network, NORMALIZATION), exact_border=True)
    in_litert = lite(float_file(graph), decode_pixels(graph, images).numpy())
    np.testing.assert_allclose(in_litert, expected, atol=near)
    read = drop_final_softmax(float_graph(read_tflite(write_tflite(float_program(graph)), "random")))
    np.testing.assert_allclose(run(read, images), expected, atol=near)


def int8_graph(seed: int) -> Graph:
    return lower(simplify(random_network(seed), NORMALIZATION), exact_border=False)


def check(quantized: QuantizedGraph, images: NDArray[np.uint8]) -> None:
    """Compare the integer execution with LiteRT, and with what is read back from the file."""
    program, expected = int8_program(quantized), real_logits(quantized, images)
    steps = 2.01 * quantized.encodings[quantized.graph.output].scale if quantized.kept_float else 0
    np.testing.assert_allclose(lite_logits(program, images), expected, rtol=0, atol=steps)
    again = quantized_graph(read_tflite(write_tflite(program), "random"))
    np.testing.assert_allclose(real_logits(again, images), expected, rtol=0, atol=steps)


def test_int8_in_litert(seed: int) -> None:
    graph = int8_graph(seed)
    quantized = RECIPES["minmax"].quantize(graph, photos(8, graph.size, seed + 1), silent)
    check(quantized, photos(3, graph.size, seed))


@pytest.mark.slow
@pytest.mark.parametrize("slow_recipe", ["fast", "balanced", "best"])
def test_all_recipes(seed: int, slow_recipe: str) -> None:
    graph = int8_graph(seed)
    quantized = RECIPES[slow_recipe].quantize(graph, photos(8, graph.size, seed + 1), silent)
    check(quantized, photos(3, graph.size, seed))
