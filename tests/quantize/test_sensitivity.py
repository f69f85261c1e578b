"""The sensitivity predicts how far small errors move the logits; the tests add such errors and measure it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgenet.graph.executor import apply, decode_pixels, run
from edgenet.graph.ir import WEIGHTED, DepthwiseConv2D, Graph, Node
from edgenet.quantize.equalize import group_of, tensor_groups
from edgenet.quantize.ranges import channel_statistics
from edgenet.quantize.rotate import mixable
from edgenet.quantize.sensitivity import FullMatrixNames, logit_sensitivity
from tests.small_graphs import photos
from tests.uneven_network import uneven_network

TINY = 1e-3


def disturbed(graph: Graph, images: np.ndarray, name: str, random: torch.Generator) -> np.ndarray:
    """Return the logits with normal noise of deviation TINY on one tensor."""
    values = {graph.input: decode_pixels(graph, images)}
    for node in graph.nodes:
        value = apply(node.operator, [values[source] for source in node.inputs])
        noise = TINY * torch.randn(value.shape, generator=random)
        values[node.output] = value + noise if node.output == name else value
    return values[graph.output].numpy()


@pytest.mark.parametrize("name", ["stem", "project", "again", "expand"])
def test_a_tensors_sensitivity_is_the_energy_of_noise_on_it(name: str) -> None:
    graph = uneven_network(0)
    images = photos(4, graph.size)
    found = logit_sensitivity(graph, images, channel_statistics(graph, images), probes=100)
    predicted = found.tensors[name].sum() * TINY**2
    random = torch.Generator().manual_seed(1)
    wanted = run(graph, images)
    seen = np.mean(
        [np.square(disturbed(graph, images, name, random) - wanted).sum(1).mean() for _ in range(60)]
    )
    assert 0.75 < seen / predicted < 1.33


def with_noisy_weights(node: Node, mean: np.ndarray, random: np.random.Generator) -> Node:
    """Add noise to a layer's weights, and change its bias so that the mean of its output stays."""
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    noise = TINY * random.standard_normal(operator.weight.shape).astype(np.float32)
    over = (0, 1, 2) if isinstance(operator, DepthwiseConv2D) else (1, 2, 3)
    bias = operator.bias - (noise * mean).sum(over).astype(np.float32)
    return replace(node, operator=replace(operator, weight=operator.weight + noise, bias=bias))


@pytest.mark.parametrize("name", ["depthwise", "project", "expand"])
def test_a_layers_sensitivity_is_the_energy_of_noise_on_its_weights(name: str) -> None:
    graph = uneven_network(0)
    images = photos(4, graph.size)
    statistics = channel_statistics(graph, images)
    found = logit_sensitivity(graph, images, statistics, probes=100)
    predicted = found.rows[name].sum() * TINY**2
    random = np.random.default_rng(1)
    mean = statistics[next(node for node in graph.nodes if node.name == name).inputs[0]].mean
    wanted = run(graph, images)
    energies = []
    for _ in range(100):
        noisy = graph.with_nodes(
            with_noisy_weights(node, mean, random) if node.name == name else node for node in graph.nodes
        )
        energies.append(np.square(run(noisy, images) - wanted).sum(1).mean())
    assert 0.75 < np.mean(energies) / predicted < 1.33
    if name in found.columns:
        np.testing.assert_allclose(found.columns[name].sum(), found.rows[name].sum(), rtol=1e-4)


def test_matrices_have_the_diagonals_of_the_channels() -> None:
    graph = uneven_network(0)
    images = photos(3, graph.size)
    mixed = mixable(graph)
    assert mixed.tensors
    statistics = channel_statistics(graph, images)
    plain, whole = (
        logit_sensitivity(graph, images, statistics, wanted) for wanted in (FullMatrixNames(), mixed)
    )
    for name in mixed.tensors:
        np.testing.assert_allclose(np.diagonal(whole.tensors[name]), plain.tensors[name], rtol=1e-3)
    groups = [group_of(graph, tensors) for tensors in tensor_groups(graph)]
    group = next(group for group in groups if group is not None and group.can_mix)
    for node in group.producers:
        np.testing.assert_allclose(np.diagonal(whole.rows[node.name]), plain.rows[node.name], rtol=1e-3)
    for node in group.consumers:
        np.testing.assert_allclose(np.diagonal(whole.columns[node.name]), plain.columns[node.name], rtol=1e-3)
