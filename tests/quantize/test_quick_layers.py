"""Layers that are quantized quickly have corrected biases, and the integers of the device are carried along."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from edgenet.graph.executor import run
from edgenet.graph.ir import WEIGHTED, Graph
from edgenet.progress import silent
from edgenet.quantize.integer import real_logits, run_integer
from edgenet.quantize.quantized_graph import QuantizedGraph, weighted_layers
from edgenet.quantize.quick_trials import SampledMeans, quantize_quickly
from edgenet.quantize.ranges import encode_tensors, observe_ranges
from edgenet.quantize.recipes import quantize_minmax
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


def quickly(graph: Graph, images: np.ndarray) -> QuantizedGraph:
    means = SampledMeans(len(images))
    run(graph, images, 4, means.observe)
    encodings = encode_tensors(graph, observe_ranges(graph, images))
    return quantize_quickly(graph, encodings, images, means.means())


@pytest.mark.parametrize("seed", [0, 5])
def test_the_means_after_each_activation_are_those_of_the_float_network(seed: int) -> None:
    graph = uneven_network(seed)
    images = photos(24, graph.size)
    corrected, plain = quickly(graph, images), quantize_minmax(graph, images, silent)
    for name in ("depthwise", "expand", "last"):
        wanted = _mean(graph, images, name)
        error = np.abs(_mean(corrected, images, name) - wanted).mean()
        assert error < 0.3 * np.abs(_mean(plain, images, name) - wanted).mean(), name


def _mean(network: Graph | QuantizedGraph, images: np.ndarray, name: str) -> np.ndarray:
    """Return the mean of each channel of a tensor."""
    means: list[np.ndarray] = []

    def keep(tensor: str, value: Tensor) -> None:
        if tensor == name:
            means.append(value.float().mean((0, 1, 2)).numpy())

    if isinstance(network, Graph):
        run(network, images, 1, keep)
        return np.mean(means, axis=0)
    real_logits(network, images, keep)
    encoding = network.encodings[name]
    return (np.mean(means, axis=0) - encoding.zero_point) * encoding.scale


@pytest.mark.filterwarnings("error")
def test_weights_that_cannot_be_written_to_give_no_warning() -> None:
    graph = uneven_network(1)
    for node in graph.nodes:
        if isinstance(node.operator, WEIGHTED):
            node.operator.weight.flags.writeable = node.operator.bias.flags.writeable = False
    images = photos(4, graph.size)
    assert set(quickly(graph, images).weights) == set(weighted_layers(graph))


def test_photos_run_together_as_they_do_one_by_one() -> None:
    graph = uneven_network(2)
    images = photos(19, graph.size)
    quantized = quickly(graph, images[:6])
    one_by_one = np.concatenate([run_integer(quantized, images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_array_equal(run_integer(quantized, images), one_by_one)
