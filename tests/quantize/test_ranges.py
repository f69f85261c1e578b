"""Ranges wider than the smallest and largest value seen: headroom for feature maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import build, conv, fully_connected

from edgenet.graph.ir import Activation, Graph, Mean, Reshape
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.ranges import Range, add_headroom

RNG = np.random.default_rng(0)


def network(builder: GraphBuilder, x: str) -> str:
    """Build a network with two feature maps, their mean, and four logits in another shape."""
    rectified = replace(conv(RNG, 3, 8, (1, 1)), activation=Activation.RELU6)
    x = builder.add(rectified, [x], "first")
    x = builder.add(conv(RNG, 8, 8, (1, 1)), [x], "second")
    x = builder.add(Mean(), [x], "pool")
    x = builder.add(fully_connected(RNG, 8, 4), [x], "classifier")
    return builder.add(Reshape((1, 2, 2)), [x], "flat")


@pytest.fixture
def graph() -> Graph:
    return build(network)


def test_only_maps_get_room_and_not_beyond_their_activation(graph: Graph) -> None:
    ranges = {name: Range(-4.0, 5.5) for name in graph.shapes} | {"first": Range(0.0, 5.5)}
    wider = add_headroom(graph, ranges, dict.fromkeys(graph.shapes, 0.25))
    assert wider["second"] == Range(-5.0, 6.875)
    assert wider["first"] == Range(0.0, 6.0)
    assert all(wider[name] == ranges[name] for name in ("pool", "classifier", "flat"))
    assert add_headroom(graph, ranges, dict.fromkeys(graph.shapes, 0.0)) == ranges
