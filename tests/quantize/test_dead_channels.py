"""Channels that can have only one value are removed, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.graph.executor import run
from edgenet.graph.ir import (
    Activation,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Mean,
    Pads,
    PixelEncoding,
)
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.channels import drop_dead_channels
from tests.small_graphs import photos

AROUND = Pads(1, 1, 1, 1)
DEAD = np.arange(3, 19, 2)  # 8 of 24


def network(constant: float, second_padded: bool = False, residual: bool = False) -> Graph:
    """Build a first layer with 8 dead channels of 24, which always give `constant`.

    A depthwise layer, a 1x1 or 3x3 convolution and a mean follow.
    """
    random = np.random.default_rng(1)

    def noise(*shape: int) -> np.ndarray:
        return random.normal(0, 0.3, shape).astype(np.float32)

    builder = GraphBuilder("dead", "image", (1, 12, 12, 3))
    weight, bias = noise(24, 3, 3, 3), noise(24)
    weight[DEAD], bias[DEAD] = 0, constant if constant else -1
    relu6 = Activation.RELU6
    x = builder.add(Conv2D(weight, bias, (2, 2), pads=Pads(0, 1, 0, 1), activation=relu6), ["image"], "first")
    if residual:
        x = builder.add(Binary("add"), [x, x], "twice")
    x = builder.add(
        DepthwiseConv2D(noise(1, 3, 3, 24), noise(24) + 0.5, pads=AROUND, activation=relu6), [x], "depthwise"
    )
    kernel, pads = (3, AROUND) if second_padded else (1, Pads())
    x = builder.add(Conv2D(noise(8, kernel, kernel, 24), noise(8), pads=pads), [x], "second")
    x = builder.add(Mean(keep_dims=False), [x], "mean")
    x = builder.add(FullyConnected(noise(5, 8), noise(5)), [x], "logits")
    return builder.graph(x, PixelEncoding(1 / 127.5, 127))


def channels(graph: Graph, name: str) -> int:
    return graph.shapes[name][-1]


def test_channels_that_are_always_zero_go_with_their_depthwise_filters() -> None:
    graph = network(constant=0)
    cut = drop_dead_channels(graph)
    assert [channels(cut, name) for name in ("first", "depthwise", "second")] == [16, 16, 8]
    images = photos(4, graph.size)
    assert np.abs(run(cut, images) - run(graph, images)).max() < 1e-5


def test_a_constant_that_the_padding_breaks_stays() -> None:
    """A depthwise layer with padding makes another value of the constant at the border."""
    graph = network(constant=2.0)
    assert channels(drop_dead_channels(graph), "first") == 24


def test_a_constant_before_a_padded_convolution_stays() -> None:
    """The dead channels are constant after the depthwise layer, but the constant is not zero as the padding is."""
    graph = network(constant=0, second_padded=True)
    assert channels(drop_dead_channels(graph), "first") == 24


def test_channels_that_others_read_stay() -> None:
    graph = network(constant=0, residual=True)
    assert channels(drop_dead_channels(graph), "first") == 24


@pytest.mark.parametrize(("dead", "left"), [(7, 24), (8, 16), (9, 16), (16, 8), (17, 8)])
def test_only_whole_tiles_are_cut(dead: int, left: int) -> None:
    graph = network(constant=0)
    first = graph.nodes[0].operator
    assert isinstance(first, Conv2D)
    first.weight[DEAD], first.bias[DEAD] = 0.2, 0.1
    first.weight[:dead], first.bias[:dead] = 0, -1
    cut = drop_dead_channels(graph)
    assert channels(cut, "first") == left
    images = photos(4, graph.size)
    assert np.abs(run(cut, images) - run(graph, images)).max() < 1e-5
