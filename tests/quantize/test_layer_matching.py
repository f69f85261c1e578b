"""Finding one graph's tensors in another graph: by name, or by the operators and inputs that make them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Binary, Graph, Mean, Pads, Pool, Reshape
from edgenet.graph.lower import lower_padding
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.matching import match_tensors
from tests.renaming import renamed
from tests.small_graphs import PIXELS, build, conv, fully_connected
from tests.uneven_network import uneven_network

RNG = np.random.default_rng(1)


def two_arms(first: str = "left", last_pool: bool = False, swapped: bool = False) -> Graph:
    """Build two convolutions of one shape that read the picture; their sum is pooled, flattened and classified."""

    def make(builder: GraphBuilder, source: str) -> str:
        left = builder.add(conv(RNG, 3, 4, (3, 3), pads=Pads(1, 1, 1, 1)), [source], first)
        right = builder.add(conv(RNG, 4, 4, (1, 1)), [left], "right")
        x = builder.add(Binary("add"), [right, left] if swapped else [left, right], "sum")
        pooled = Pool("average", (6, 6), (6, 6)) if last_pool else Mean()
        x = builder.add(pooled, [x], "pool")
        x = builder.add(Reshape((1, 4)), [x], "flat")
        return builder.add(fully_connected(RNG, 4, 3), [x], "logits")

    return build(make)


def test_by_name() -> None:
    graph = uneven_network()
    assert match_tensors(graph, graph) == {node.output: node.output for node in graph.nodes}


def test_by_place_every_tensor_is_found() -> None:
    graph = uneven_network()
    other = renamed(graph)
    found = match_tensors(other, graph)
    assert found == {
        after.output: before.output for before, after in zip(graph.nodes, other.nodes, strict=True)
    }


@pytest.mark.parametrize(("last_pool", "swapped"), [(True, False), (False, True)])
def test_by_place_whatever_way_it_is_written(last_pool: bool, swapped: bool) -> None:
    """One graph has the mean as a pooling, or a sum in another order, and padding as a step of its own."""
    ours = renamed(lower_padding(two_arms(last_pool=last_pool, swapped=swapped)))
    theirs = two_arms()
    by_their_name = {b: a for a, b in match_tensors(ours, theirs).items()}
    places = {node.output: place for place, node in enumerate(ours.nodes)}
    assert set(by_their_name) == {"left", "right", "sum", "pool", "logits"}
    order = [places[by_their_name[name]] for name in ("left", "right", "sum", "pool", "logits")]
    assert order == sorted(order)


def test_more_layers_in_one() -> None:
    with pytest.raises(
        EdgenetError, match=r"the networks differ: 3 layers with weights in one, 7 in the other"
    ):
        match_tensors(two_arms(), _with_classes(uneven_network(), 3))


def test_another_shape_is_named() -> None:
    narrow = build(lambda b, x: _chain(b, x, 4))
    wide = renamed(build(lambda b, x: _chain(b, x, 8)))
    with pytest.raises(EdgenetError, match=r"'model/tf\.nn\.0' and 'first' correspond but make"):
        match_tensors(wide, narrow)


def test_another_number_of_classes_or_pixels() -> None:
    graph = two_arms()
    with pytest.raises(EdgenetError, match=r"3 classes in one, 6 in the other"):
        match_tensors(
            graph, replace(uneven_network(), shapes={**uneven_network().shapes, "image": (1, 6, 6, 3)})
        )
    with pytest.raises(EdgenetError, match="pixels"):
        match_tensors(graph, uneven_network())


def _chain(builder: GraphBuilder, source: str, channels: int) -> str:
    x = builder.add(conv(RNG, 3, channels, (1, 1)), [source], "first")
    x = builder.add(Mean(keep_dims=False), [x], "mean")
    return builder.add(fully_connected(RNG, channels, 3), [x], "logits")


def _with_classes(graph: Graph, classes: int) -> Graph:
    shapes = {**graph.shapes, graph.output: (1, classes), "image": (1, 6, 6, 3)}
    return replace(graph, shapes=shapes, pixels=PIXELS)
