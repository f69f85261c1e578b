"""Ranges beyond the smallest and largest value seen: room for maps, a cut for the logits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_graphs import build, conv, fully_connected, photos

from edgenet.graph.builder import GraphBuilder
from edgenet.graph.ir import Graph
from edgenet.graph.operators import Activation, Mean, Reshape
from edgenet.quantize.encodings import Range
from edgenet.quantize.ranges import leave_room, logits_range, names_of_logits, observe_ranges

RNG = np.random.default_rng(0)


def network(builder: GraphBuilder, x: str) -> str:
    """Two maps, their mean, four logits in another shape."""
    rectified = replace(conv(RNG, 3, 8, (1, 1)), activation=Activation.RELU6)
    x = builder.add(rectified, [x], "first")
    x = builder.add(conv(RNG, 8, 8, (1, 1)), [x], "second")
    x = builder.add(Mean(), [x], "pool")
    x = builder.add(fully_connected(RNG, 8, 4), [x], "classifier")
    return builder.add(Reshape((1, 2, 2)), [x], "flat")


@pytest.fixture
def graph() -> Graph:
    return build(network)


def test_logits_come_with_the_ranges(graph: Graph) -> None:
    logits: list[torch.Tensor] = []
    ranges = observe_ranges(graph, photos(20, (6, 6)), logits=logits)
    together = torch.cat(logits)
    assert together.shape == (20, 2, 2)
    assert ranges["flat"] == Range(float(together.min()), float(together.max()))
    assert names_of_logits(graph) == ["flat", "classifier"]


def test_only_maps_get_room_and_not_beyond_their_activation(graph: Graph) -> None:
    ranges = {name: Range(-4.0, 5.5) for name in graph.shapes} | {"first": Range(0.0, 5.5)}
    wider = leave_room(graph, ranges, dict.fromkeys(graph.shapes, 0.25))
    assert wider["second"] == Range(-5.0, 6.875)
    assert wider["first"] == Range(0.0, 6.0)
    assert all(wider[name] == ranges[name] for name in ("pool", "classifier", "flat"))
    assert leave_room(graph, ranges, dict.fromkeys(graph.shapes, 0.0)) == ranges


def energy(values: torch.Tensor, cut: Range) -> float:
    """Of cutting and rounding to 256 values."""
    step = (cut.high - cut.low) / 255
    rounded = ((values.double() - cut.low) / step).round().clamp(0, 255) * step + cut.low
    return float((rounded - values).square().mean())


def test_the_logits_range_has_the_least_squared_error() -> None:
    values = torch.randn(100, 1000, generator=torch.Generator().manual_seed(0)) * 3
    values[3, 4] = 40.0
    cut = logits_range(values)
    assert cut.low > float(values.min())
    assert cut.high < 36.0  # the one at 40 is cut
    least = energy(values, cut)
    assert least < 0.9 * energy(values, Range(float(values.min()), 40.0))
    for high in (cut.high * 0.8, cut.high - 2, cut.high + 2):
        assert least <= energy(values, Range(cut.low, high)) * 1.001


def test_logits_that_are_all_alike_keep_their_range() -> None:
    assert logits_range(torch.zeros(3, 4)) == Range(0.0, 0.0)
    alone = logits_range(torch.tensor([[1.0, 9.0]]))
    assert alone.high == 9.0
