"""Mixing the channels of linear tensors keeps the function, lowers the noise, and happens only where allowed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgenet.graph.executor import run
from edgenet.graph.ir import Activation, Binary, Conv2D, FullyConnected, Graph, Mean, PixelEncoding
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize import rotate as rotating
from edgenet.quantize.equalize import group_of, tensor_groups
from edgenet.quantize.mixing_noise import MixingNoise
from edgenet.quantize.ranges import channel_statistics
from edgenet.quantize.rotate import (
    JointStatistics,
    _evenly_turned,
    _random_rotation,
    mixable,
    rotate,
)
from edgenet.quantize.sensitivity import Sensitivity, logit_sensitivity
from tests.rounded_tensors import noise_of_rounding
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


def rotated(graph: Graph, images: np.ndarray) -> tuple[Graph, Sensitivity]:
    mixed = mixable(graph)
    joint = JointStatistics(mixed.tensors)
    statistics = channel_statistics(graph, images, also=joint.observe)
    return rotate(graph, statistics, joint, logit_sensitivity(graph, images[:8], statistics, mixed))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_function_stays(seed: int) -> None:
    graph = uneven_network(seed)
    images = photos(8, graph.size)
    other, _ = rotated(graph, images)
    assert np.abs(run(other, images) - run(graph, images)).max() < 1e-3
    assert other.shapes == graph.shapes


def test_the_sensitivity_on_the_new_axes_is_that_of_the_new_graph() -> None:
    graph = uneven_network(0)
    images = photos(8, graph.size)
    other, predicted = rotated(graph, images)
    seen = logit_sensitivity(other, images[:8], channel_statistics(other, images), mixable(other))
    for name in mixable(graph).tensors:
        np.testing.assert_allclose(np.trace(predicted.tensors[name]), np.trace(seen.tensors[name]), rtol=0.02)
    for kind in ("rows", "columns"):
        for name, whole in getattr(predicted, kind).items():
            if whole.ndim == 2:
                np.testing.assert_allclose(np.trace(whole), np.trace(getattr(seen, kind)[name]), rtol=0.02)


def alike_network(seed: int) -> Graph:
    """Return the uneven network with a bottleneck of nearly equal channels, whose differences are then read."""
    random = np.random.default_rng(seed)
    changed = {}
    for node in uneven_network(seed).nodes:
        if node.name in ("project", "again", "expand", "last"):
            operator = node.operator
            assert isinstance(operator, Conv2D)
            weight = operator.weight
            if node.name in ("project", "again"):
                weight = 0.3 * weight[-1:] + 0.01 * random.normal(size=weight.shape).astype(np.float32)
            else:
                weight = 10 * (weight - weight.mean(3, keepdims=True))
            node = replace(node, operator=replace(operator, weight=weight.astype(np.float32)))
        changed[node.name] = node
    return uneven_network(seed).with_nodes(changed.values())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rounding_channels_that_are_alike_costs_far_less(seed: int) -> None:
    """Scaling cannot do this: the common part gets an axis of its own, and the differences get their own steps."""
    graph = alike_network(seed)
    images = photos(24, graph.size)
    other, _ = rotated(graph, images)
    names = mixable(graph).tensors
    assert noise_of_rounding(other, images, names) < 0.3 * noise_of_rounding(graph, images, names)


def test_a_tensor_that_went_through_an_activation_is_not_mixed() -> None:
    graph = uneven_network(0)
    assert "project" in mixable(graph).tensors
    nodes = []
    for node in graph.nodes:
        if node.name in ("project", "again"):
            assert isinstance(node.operator, Conv2D)
            node = replace(node, operator=replace(node.operator, activation=Activation.RELU))
        nodes.append(node)
    assert not {"project", "again"} & mixable(graph.with_nodes(nodes)).tensors
    assert "stem" not in mixable(graph).tensors


@pytest.mark.parametrize("count", [1, 2, 7, 24])
def test_an_even_turn_is_a_rotation_with_an_even_diagonal(count: int) -> None:
    random = np.random.default_rng(count)
    factor = random.normal(size=(count, count)) * np.logspace(0, 2, count)
    covariance = factor @ factor.T
    turn = _evenly_turned(covariance, _random_rotation(count, 3))
    np.testing.assert_allclose(turn @ turn.T, np.eye(count), atol=1e-9)
    diagonal = np.diagonal(turn @ covariance @ turn.T)
    np.testing.assert_allclose(diagonal, np.full(count, covariance.trace() / count), rtol=1e-6)


def test_channels_that_never_change_are_survived() -> None:
    graph = uneven_network(3)
    nodes = []
    for node in graph.nodes:
        if node.name == "project":
            assert isinstance(node.operator, Conv2D)
            weight, bias = node.operator.weight.copy(), node.operator.bias.copy()
            weight[:2], bias[:2] = 0, 0
            node = replace(node, operator=replace(node.operator, weight=weight, bias=bias))
        nodes.append(node)
    graph = graph.with_nodes(nodes)
    images = photos(6, graph.size)
    other, _ = rotated(graph, images)
    assert np.isfinite(run(other, images)).all()
    assert np.abs(run(other, images) - run(graph, images)).max() < 1e-3


def test_factors_make_the_noise_of_their_diagonal_matrix() -> None:
    graph = uneven_network(0)
    mixed = mixable(graph)
    joint = JointStatistics(mixed.tensors)
    images = photos(8, graph.size)
    sensitivity = logit_sensitivity(
        graph, images, channel_statistics(graph, images, also=joint.observe), mixed
    )
    for group in (group_of(graph, tensors) for tensors in tensor_groups(graph)):
        if group is not None and group.can_mix:
            noise = MixingNoise(group, {name: joint.far_rows(name) for name in group.tensors}, sensitivity)
            factors = torch.linspace(0.5, 3.0, noise.channels, dtype=torch.float64)
            assert float(noise.of_factors(factors)) == pytest.approx(
                float(noise(torch.diag(factors))), rel=1e-5
            )
            break
    else:
        pytest.fail("no group of the network can be mixed")


def bottlenecks(outer: int, inner: int, share: float = 1.0) -> Graph:
    """Return a network of two linear bottlenecks; a branch through the inner one adds its share to the outer one."""
    random = np.random.default_rng(0)
    builder = GraphBuilder("bottlenecks", "image", (1, 8, 8, 3))

    def mix(
        source: str, inputs: int, count: int, activation: Activation, name: str, scale: float = 1.0
    ) -> str:
        weight = scale * random.normal(size=(count, 1, 1, inputs)) / np.sqrt(inputs)
        bias = 0.1 * random.normal(size=count)
        operator = Conv2D(weight.astype(np.float32), bias.astype(np.float32), activation=activation)
        return builder.add(operator, [source], name)

    x = mix("image", 3, 2 * outer, Activation.RELU6, "stem", 3.0)
    first = mix(x, 2 * outer, outer, Activation.NONE, "project")
    x = mix(first, outer, 2 * inner, Activation.RELU6, "expand")
    x = mix(x, 2 * inner, inner, Activation.NONE, "narrow")
    x = mix(x, inner, outer, Activation.NONE, "again", share)
    x = builder.add(Binary("add"), [first, x], "sum")
    x = mix(x, outer, 2 * inner, Activation.RELU6, "last")
    x = builder.add(Mean(keep_dims=False), [x], "mean")
    weight = random.normal(size=(6, 2 * inner)).astype(np.float32)
    x = builder.add(FullyConnected(weight, np.zeros(6, np.float32)), [x], "logits")
    return builder.graph(x, PixelEncoding(1 / 127.5, 127))


def descended(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Rotate a graph; return by how much the descent changes the noise of each group that it works on, by channels."""
    found: dict[int, float] = {}
    descend = rotating._descend

    def watch(noise: MixingNoise, start: torch.Tensor, steps: int) -> torch.Tensor:
        further = descend(noise, start, steps)
        found[noise.channels] = float(noise(further.float())) / float(noise(start.float()))
        return further

    monkeypatch.setattr(rotating, "_descend", watch)
    rotated(graph, photos(24, graph.size))
    return found


def test_the_descent_finds_better_axes_for_few_channels_and_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = descended(bottlenecks(160, 16), monkeypatch)
    assert set(changes) == {160, 16}
    assert max(changes.values()) < 0.6


def test_a_group_that_makes_next_to_no_noise_keeps_its_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(descended(bottlenecks(24, 16, share=1e-3), monkeypatch)) == {24}
