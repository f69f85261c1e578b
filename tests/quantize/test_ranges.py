"""Ranges wider than the smallest and largest value seen: headroom for feature maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import build, conv, fully_connected

from edgenet.graph.ir import Activation, Graph, Mean, Pad, Pads, Reshape
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.ranges import ROOM_NOT_SHOWN, ROOM_SHOWN, SHOWN, Range, add_headroom, add_logit_room

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


def test_what_only_moves_values_gets_no_room_beyond_their_activation() -> None:
    def padded(builder: GraphBuilder, x: str) -> str:
        x = builder.add(replace(conv(RNG, 3, 8, (1, 1)), activation=Activation.RELU6), [x], "first")
        x = builder.add(Pad(Pads(1, 1, 1, 1)), [x], "padded")
        return builder.add(conv(RNG, 8, 4, (1, 1)), [x], "second")

    graph = build(padded)
    ranges = {name: Range(0.0, 5.5) for name in graph.shapes}
    wider = add_headroom(graph, ranges, dict.fromkeys(graph.shapes, 0.25))
    assert wider["first"] == wider["padded"] == Range(0.0, 6.0)
    assert wider["second"] == Range(0.0, 6.875)


@pytest.mark.parametrize(("confidence", "room"), [(SHOWN, ROOM_SHOWN), (SHOWN - 0.01, ROOM_NOT_SHOWN)])
def test_logits_get_more_room_above_if_the_photos_do_not_show_their_range(
    graph: Graph, confidence: float, room: float
) -> None:
    ranges = {name: Range(-4.0, 5.0) for name in graph.shapes}
    wider = add_logit_room(graph, ranges, confidence)
    assert wider.pop("flat") == Range(-4.0, 5.0 * room)
    assert wider == {name: values for name, values in ranges.items() if name != "flat"}


def test_logits_that_are_all_negative_keep_their_range(graph: Graph) -> None:
    ranges = {name: Range(-4.0, -2.0) for name in graph.shapes}
    assert add_logit_room(graph, ranges, 0.0) == ranges
