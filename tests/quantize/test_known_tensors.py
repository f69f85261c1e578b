"""What is derived for a reshaped network is what its photos show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor

from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.quantize.earned_steps import observe
from edgenet.quantize.equalize import ChannelChange, equalize
from edgenet.quantize.quick_trials import KnownTensors, SampledMeans
from edgenet.quantize.ranges import observe_ranges
from edgenet.quantize.recipes import FAST
from edgenet.quantize.rotate import rotate
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


def reshaped(graph: Graph, images: np.ndarray) -> tuple[Graph, KnownTensors, KnownTensors]:
    """Return the reshaped graph, what is known of the original one, and what is derived of the reshaped one."""
    seen = observe(graph, images, FAST)
    changes: dict[str, ChannelChange] = {}
    other, sensitivity = rotate(graph, seen.statistics, seen.joint, seen.sensitivity, 3, changes)
    other = equalize(other, seen.statistics, sensitivity, 3, changes)
    known = KnownTensors(seen.statistics, seen.joint, seen.sampled_means)
    return other, known, replace(known, changes=changes)


@pytest.mark.parametrize("seed", [0, 1])
def test_ranges_are_those_that_the_reshaped_network_shows(seed: int) -> None:
    graph = uneven_network(seed)
    images = photos(4, graph.size)  # too few for variants of more than the first
    other, known, derived = reshaped(graph, images)
    assert set(derived.changes) > known.joint.tensors  # rotated and equalized tensors
    shown, before = observe_ranges(other, images), known.ranges(graph)
    for name, values in derived.ranges(other).items():
        tolerance = 1e-3 * (values.high - values.low)
        assert values.low <= shown[name].low + tolerance, name
        assert values.high >= shown[name].high - tolerance, name
        if name not in derived.changes:
            assert values == before[name]


def test_means_are_those_of_the_reshaped_network() -> None:
    graph = uneven_network(0)
    images = photos(12, graph.size)
    other, known, derived = reshaped(graph, images)
    means = SampledMeans(FAST.quick_photos)
    run(other, images, 5, means.observe)  # a batch that the last of the photos divides
    expected, given = means.means(), derived.means()
    for name, mean in expected.items():
        np.testing.assert_allclose(given[name], mean, atol=1e-3 * (1 + np.abs(mean).max()), err_msg=name)
    assert np.abs(known.means()["project"] - expected["project"]).max() > 0.01


def test_only_the_first_photos_give_the_means() -> None:
    graph = uneven_network(0)
    images = photos(6, graph.size)
    means, values = SampledMeans(3), []

    def keep(name: str, value: Tensor) -> None:
        if name == "last":
            values.append(value.clone())

    run(graph, images, 2, means.observe)
    run(graph, images[:3], 3, keep)
    np.testing.assert_allclose(means.means()["last"], values[0].mean((0, 1, 2)).numpy(), rtol=1e-5)
