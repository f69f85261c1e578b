"""Channels that can hardly change make way for copies of noisy ones: same function and shapes, less noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgenet.graph.executor import run
from edgenet.graph.ir import WEIGHTED, Conv2D, Graph, with_constants
from edgenet.progress import silent
from edgenet.quantize import earned_steps
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.earned_steps import REUSE, quantize_earning
from edgenet.quantize.idle_channels import reuse_idle_channels
from edgenet.quantize.integer import run_integer
from edgenet.quantize.quantization_errors import layer_errors
from edgenet.quantize.quantized_graph import Encoding
from edgenet.quantize.ranges import ChannelStatistics, channel_statistics, encode_tensors, observe_ranges
from edgenet.quantize.recipes import BALANCED, BEST
from edgenet.quantize.sensitivity import Sensitivity, logit_sensitivity
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import raw_program
from tests.rounded_tensors import noise_of_rounding
from tests.small_graphs import as_int8, lite, photos
from tests.uneven_network import uneven_network

CHAIN = frozenset(("stem", "depthwise"))
IDLE = [2, 5, 6, 11]


def with_idle_channels(seed: int, idle: list[int] = IDLE) -> Graph:
    """Return the network with channels that are constant in the first two layers, each at another value or at 0."""
    graph, changed = uneven_network(seed), {}
    for name in CHAIN:
        node = graph.node(name)
        assert isinstance(node.operator, WEIGHTED)
        weight, bias = node.operator.weight.copy(), node.operator.bias.copy()
        weight[(..., idle) if name == "depthwise" else idle] = 0
        bias[idle] = np.maximum(np.linspace(-1, 1, len(idle)), 0)
        changed[name] = with_constants(node, weight, bias)
    return graph.with_nodes(changed.get(node.name, node) for node in graph.nodes)


Statistics = dict[str, ChannelStatistics]
Facts = tuple[dict[str, Encoding], Sensitivity, Statistics, Statistics, float]


def measured(graph: Graph, images: np.ndarray) -> Facts:
    statistics = channel_statistics(graph, images)
    encodings = encode_tensors(graph, observe_ranges(graph, images))
    energy = float(np.square(run(graph, images)).sum(1).mean())
    return encodings, logit_sensitivity(graph, images[:8], statistics), statistics, statistics, energy


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_function_and_the_shapes_stay_and_the_noise_falls(seed: int) -> None:
    graph, images = with_idle_channels(seed), photos(24, (16, 16))
    reused = reuse_idle_channels(graph, *measured(graph, images))
    assert reused.shapes == graph.shapes
    assert [node.name for node in reused.nodes] == [node.name for node in graph.nodes]
    noise = noise_of_rounding(graph, images, CHAIN)
    assert 0 < float(np.square(run(reused, images) - run(graph, images)).sum()) < 0.05 * noise
    assert noise_of_rounding(reused, images, CHAIN) < 0.75 * noise


def test_only_idle_channels_make_way_and_only_for_others() -> None:
    graph, images = with_idle_channels(0), photos(24, (16, 16))
    reused = reuse_idle_channels(graph, *measured(graph, images))
    before, after = graph.node("stem").operator, reused.node("stem").operator
    assert isinstance(before, Conv2D)
    assert isinstance(after, Conv2D)
    others = np.delete(np.arange(16), IDLE)
    np.testing.assert_array_equal(after.weight[others], before.weight[others])
    originals = [
        int(np.abs(after.weight[others] - after.weight[place]).sum((1, 2, 3)).argmin()) for place in IDLE
    ]
    assert len(set(originals)) == len(IDLE)
    np.testing.assert_array_equal(after.weight[IDLE], before.weight[others[originals]])
    reader = reused.node("project").operator
    assert isinstance(reader, Conv2D)
    np.testing.assert_array_equal(reader.weight[..., IDLE], reader.weight[..., others[originals]])


def test_channels_that_other_photos_could_excite_stay() -> None:
    graph, images = with_idle_channels(0), photos(24, (16, 16))
    changed = {}
    for name, tap, offset in (("stem", 0.2, -4.0), ("depthwise", 0.3, 0.0)):
        node = graph.node(name)
        assert isinstance(node.operator, WEIGHTED)
        weight, bias = node.operator.weight.copy(), node.operator.bias.copy()
        weight[(..., IDLE) if name == "depthwise" else IDLE] = tap
        bias[IDLE] = offset
        changed[name] = with_constants(node, weight, bias)
    asleep = graph.with_nodes(changed.get(node.name, node) for node in graph.nodes)
    facts = measured(asleep, images)
    seen = facts[2]
    assert all(seen[name].high[IDLE].max() == 0 for name in CHAIN)
    assert reuse_idle_channels(asleep, *facts) is asleep
    plain = uneven_network(0)
    assert reuse_idle_channels(plain, *measured(plain, images)) is plain


def test_the_recipes_name_the_step_and_equal_litert(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thorough result is made the winner, so that the test sees it."""
    graph, images = with_idle_channels(1), photos(24, (16, 16))
    costs = iter((3.0, 9.0, 2.0, 1.0, 0.5, 0.25))
    monkeypatch.setattr(earned_steps._Work, "judge", lambda *_: next(costs))
    for effort in (BALANCED, replace(BEST, sensitivity_photos=4)):
        costs = iter((3.0, 9.0, 2.0, 1.0, 0.5, 0.25))
        quantized = quantize_earning(graph, images, effort, silent)
        assert REUSE in quantized.steps
        theirs = lite(write_tflite(raw_program(quantized)), as_int8(images))
        np.testing.assert_array_equal(run_integer(quantized, images), theirs)


def test_copies_do_not_count_as_errors_of_the_channels_whose_place_they_took() -> None:
    graph, images = with_idle_channels(0), photos(24, (16, 16))
    encodings, *rest = measured(graph, images)
    reused = reuse_idle_channels(graph, encodings, *rest)
    found = {}
    for name, one in (("plain", graph), ("reused", reused)):
        errors = layer_errors(quantize_layers(one, encodings, images, LayerOptions()), graph, images)
        assert not errors.equalized
        found[name] = {error.node: error.sqnr_db for error in errors.layers}
    for node in CHAIN:
        assert found["reused"][node] == pytest.approx(found["plain"][node], abs=3)
    assert min(found["plain"][node] for node in CHAIN) > 20
