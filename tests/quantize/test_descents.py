"""The written-out gradients of the descents are those that automatic differentiation finds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgenet.graph.ir import Graph
from edgenet.quantize.equalize import NoiseModel, TensorGroup, group_of, shifts_of, tensor_groups
from edgenet.quantize.mixing_noise import DESCENT_ROWS, DescentNoise, MixingNoise
from edgenet.quantize.ranges import ChannelStatistics, channel_statistics
from edgenet.quantize.rotate import JointStatistics, mixable
from edgenet.quantize.rounding import WIDE, _squared
from edgenet.quantize.sensitivity import Sensitivity, logit_sensitivity
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


def seen_of(graph: Graph) -> tuple[dict[str, ChannelStatistics], JointStatistics, Sensitivity]:
    mixed, images = mixable(graph), photos(8, graph.size)
    joint = JointStatistics(mixed.tensors)
    statistics = channel_statistics(graph, images, also=joint.observe)
    return statistics, joint, logit_sensitivity(graph, images, statistics, mixed)


def groups_of(graph: Graph, mixed: bool) -> list[TensorGroup]:
    groups = [group_of(graph, tensors) for tensors in tensor_groups(graph)]
    return [group for group in groups if group is not None and group.can_mix is mixed]


def smooth_noise(noise: MixingNoise, matrix: Tensor) -> Tensor:
    """Return the noise with spans by p-norms, so plainly that it can be differentiated automatically."""
    inverse, parts = torch.linalg.inv(matrix), []
    for tensor in noise.tensors:
        values = tensor.rows[:DESCENT_ROWS] @ matrix.T
        span = sum(torch.linalg.vector_norm(side.clamp(min=0), 16) for side in (values, -values))
        parts.append(span**2 / (12 * 255**2) * torch.trace(inverse.T @ tensor.sensitivity @ inverse))
    for reader in noise.readers:
        largest = (reader.weight @ inverse).abs().reshape(len(reader.rows), -1).amax(1)
        gain = torch.trace(matrix @ reader.columns @ matrix.T) / torch.trace(reader.columns)
        parts.append((largest**2 * reader.rows).sum() / (12 * 127**2) * gain)
    for maker in noise.makers:
        largest = (matrix @ maker.weight).abs().amax(1)
        rows = torch.diagonal(inverse.T @ maker.rows @ inverse)
        parts.append((largest**2 * rows).sum() / (12 * 127**2))
    return torch.stack(parts).sum()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_of_the_axes(seed: int) -> None:
    graph = uneven_network(seed)
    _, joint, sensitivity = seen_of(graph)
    groups = groups_of(graph, mixed=True)
    assert groups
    for group in groups:
        far = {name: joint.far_rows(name) for name in group.tensors}
        noise = MixingNoise(group, far, sensitivity, torch.float32)
        turn = torch.randn(noise.channels, noise.channels, generator=torch.Generator().manual_seed(seed))
        matrix = (torch.eye(noise.channels) + 0.1 * turn).requires_grad_(True)
        expected = smooth_noise(noise, matrix)
        (gradient,) = torch.autograd.grad(expected, matrix)
        found, slope = DescentNoise(noise)(matrix.detach())
        assert found == pytest.approx(float(expected.detach()), rel=1e-5)
        assert float((slope - gradient).norm()) < 1e-4 * float(gradient.norm())


def test_the_gradient_of_the_factors() -> None:
    graph = uneven_network(0)
    statistics, _, sensitivity = seen_of(graph)
    groups = groups_of(graph, mixed=False)
    assert groups
    for group in groups:
        model = NoiseModel(group, statistics, shifts_of(group, statistics), sensitivity)
        count = len(statistics[group.tensors[0]].low)
        factors = torch.linspace(1.0, 2.0, count).requires_grad_(True)
        expected = model.noise(factors)
        (gradient,) = torch.autograd.grad(expected, factors)
        found, slope = model.slope(factors.detach())
        assert found == pytest.approx(float(expected.detach()), rel=1e-5)
        assert float((slope - gradient).norm()) < 1e-4 * float(gradient.norm())


@pytest.mark.parametrize("columns", [WIDE - 1, WIDE, WIDE + 3])
def test_one_half_of_a_symmetric_product_gives_the_whole(columns: int) -> None:
    rows = torch.randn(50, columns, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_squared(rows), rows.T @ rows)
