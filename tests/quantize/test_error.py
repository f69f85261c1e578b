"""The error of each layer: as measured if the file has the float network's scales, matched if it was equalized."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgenet.graph.ir import Graph
from edgenet.progress import silent
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.quantization_errors import layer_errors, sqnr_db
from edgenet.quantize.ranges import encode_tensors, observe_ranges
from edgenet.quantize.recipes import RECIPES
from edgenet.quantize.rotate import mixable
from tests.reshaped_graphs import rotate_and_equalize
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


@pytest.fixture(scope="module")
def graph() -> Graph:
    return uneven_network()


def test_sqnr_is_ten_times_the_logarithm_of_the_energies() -> None:
    assert sqnr_db(100.0, 1.0) == pytest.approx(20)
    assert sqnr_db(1.0, 0.0) == math.inf
    assert sqnr_db(0.0, 1.0) == -math.inf


def test_a_plain_file_is_compared_as_it_is(graph: Graph) -> None:
    images = photos(6, graph.size)
    found = layer_errors(RECIPES["minmax"].quantize(graph, images, silent), graph, images)
    errors = found.layers
    assert found.photos == 6
    assert not found.equalized
    assert [error.node for error in errors] == [node.name for node in graph.nodes]
    assert not any(error.matched for error in errors)
    assert all(error.saturated is not None for error in errors)


def test_an_equalized_file_is_matched_channel_by_channel(graph: Graph) -> None:
    images = photos(6, graph.size)
    equalized = rotate_and_equalize(graph, images)
    encodings = encode_tensors(equalized, observe_ranges(equalized, images))
    quantized = quantize_layers(equalized, encodings, images, LayerOptions(), silent)
    in_its_own_scales = layer_errors(quantized, equalized, images).layers
    in_the_original = layer_errors(quantized, graph, images).layers
    assert not any(error.matched for error in in_its_own_scales)
    assert all(error.matched for error in in_the_original[:-1])
    assert not in_the_original[-1].matched
    mixed = mixable(graph).tensors  # on other axes, which no scale for each channel explains: left out
    assert mixed
    assert not mixed & {error.node for error in in_the_original}
    assert min(error.sqnr_db for error in in_the_original) > 10
    assert in_the_original[-1].sqnr_db == pytest.approx(in_its_own_scales[-1].sqnr_db, abs=0.01)


def test_a_wrong_layer_is_seen(graph: Graph) -> None:
    images = photos(4, graph.size)
    quantized = RECIPES["minmax"].quantize(graph, images, silent)
    good = layer_errors(quantized, graph, images).layers
    broken = graph.nodes[1].name
    quantized.weights[broken].bias[:] += np.int32(20_000)  # type: ignore[index]
    bad = {error.node: error.sqnr_db for error in layer_errors(quantized, graph, images).layers}
    assert bad[graph.nodes[0].name] == good[0].sqnr_db
    assert bad[broken] < good[1].sqnr_db - 10
