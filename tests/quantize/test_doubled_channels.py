"""Doubled channels keep the function, lower the noise at the logits, and stay within their budget of mult-adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgenet.graph.executor import run
from edgenet.graph.ir import Activation, Conv2D, DepthwiseConv2D, Graph
from edgenet.graph.shapes import cost
from edgenet.quantize.channels import double_channels
from edgenet.quantize.integer import run_integer
from edgenet.quantize.quantized_graph import Encoding
from edgenet.quantize.ranges import channel_statistics, encode_tensors, observe_ranges
from edgenet.quantize.recipes import RECIPES
from edgenet.quantize.sensitivity import Sensitivity, logit_sensitivity
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import raw_program
from tests.rounded_tensors import noise_of_rounding
from tests.small_graphs import as_int8, lite, photos
from tests.uneven_network import uneven_network

CHAIN = frozenset(("stem", "depthwise"))


def measured(graph: Graph, images: np.ndarray) -> tuple[dict[str, Encoding], Sensitivity]:
    encodings = encode_tensors(graph, observe_ranges(graph, images))
    return encodings, logit_sensitivity(graph, images[:8], channel_statistics(graph, images))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_function_changes_by_far_less_than_rounding_does(seed: int) -> None:
    graph, images = uneven_network(seed), photos(16, (16, 16))
    doubled = double_channels(graph, *measured(graph, images), share=1.0)
    change = float(np.square(run(doubled, images) - run(graph, images)).sum())
    assert 0 < change < 0.1 * noise_of_rounding(graph, images, CHAIN)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_noise_at_the_logits_falls(seed: int) -> None:
    graph, images = uneven_network(seed), photos(24, (16, 16))
    doubled = double_channels(graph, *measured(graph, images), share=1.0)
    assert noise_of_rounding(doubled, images, CHAIN) < 0.6 * noise_of_rounding(graph, images, CHAIN)


def test_copies_stay_within_what_they_may_cost_and_come_in_eights() -> None:
    graph, images = uneven_network(0), photos(8, (16, 16))
    facts = measured(graph, images)
    before = cost(graph).mult_adds
    assert double_channels(graph, *facts, share=0.0).shapes == graph.shapes
    widths = []
    for share in (0.1, 0.3, 1.0):
        doubled = double_channels(graph, *facts, share=share)
        assert cost(doubled).mult_adds <= (1 + share) * before
        widths.append(doubled.shapes["depthwise"][3])
        assert doubled.shapes["stem"][3] == widths[-1]
        assert [node.name for node in doubled.nodes] == [node.name for node in graph.nodes]
    assert widths == sorted(widths)
    assert widths[-1] == 32
    assert all(width % 8 == 0 for width in widths)


def test_linear_layers_are_left_alone() -> None:
    graph, images = uneven_network(0), photos(8, (16, 16))
    nodes = []
    for node in graph.nodes:
        if node.name == "depthwise":
            assert isinstance(node.operator, DepthwiseConv2D)
            node = replace(node, operator=replace(node.operator, activation=Activation.NONE))
        nodes.append(node)
    linear = graph.with_nodes(nodes)
    assert double_channels(linear, *measured(linear, images), share=1.0).shapes == graph.shapes


def test_each_copy_is_offset_by_a_quarter_step_and_read_with_half_the_weight() -> None:
    graph, images = uneven_network(0), photos(8, (16, 16))
    encodings, felt = measured(graph, images)
    doubled = double_channels(graph, encodings, felt, share=1.0)
    before, after = ({n.name: n.operator for n in g.nodes} for g in (graph, doubled))
    stem, twice, reader = before["stem"], after["stem"], after["project"]
    assert isinstance(stem, Conv2D)
    assert isinstance(twice, Conv2D)
    assert isinstance(reader, Conv2D)
    np.testing.assert_array_equal(twice.weight, np.concatenate([stem.weight, stem.weight]))
    quarter = encodings["stem"].scale / 4
    np.testing.assert_allclose(
        twice.bias, np.concatenate([stem.bias - quarter, stem.bias + quarter]), atol=1e-6
    )
    np.testing.assert_array_equal(reader.weight[..., :16], reader.weight[..., 16:])


def test_the_best_recipe_equals_litert() -> None:
    graph, images = uneven_network(2), photos(12, (16, 16))
    quantized = RECIPES["best"].quantize(graph, images, lambda *_: None)
    theirs = lite(write_tflite(raw_program(quantized)), as_int8(images))
    np.testing.assert_array_equal(run_integer(quantized, images), theirs)
