"""The layers that `inspect` names for --keep-float are those that take the noise away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_graphs import photos
from uneven_network import uneven_network

from edgenet.graph.ir import Graph
from edgenet.progress import silent
from edgenet.quantize.noise_shares import LayerShare, NoiseShares, noise_shares
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph, keep_float, layers_around
from edgenet.quantize.recipes import RECIPES
from edgenet.workflows.layer_comparison import propose_keep_float

IMAGES = photos(24, (16, 16))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return uneven_network()


@pytest.fixture(scope="module")
def plain(graph: Graph) -> QuantizedGraph:
    return RECIPES["minmax"].quantize(graph, IMAGES, silent)


def coarse(quantized: QuantizedGraph, name: str) -> QuantizedGraph:
    """With one tensor in steps 32 times as large."""
    encoding = quantized.encodings[name]
    steps = Encoding(32 * encoding.scale, encoding.zero_point)
    return replace(quantized, encodings={**quantized.encodings, name: steps})


def shares(*layers: tuple[str, float, float | None], weights: float = 0.5) -> NoiseShares:
    """Of name, activations' share and weights' share."""
    return NoiseShares(
        8, 15.0, 16.0, weights, 1 - weights, 1.0, tuple(LayerShare(*layer) for layer in layers)
    )


def test_a_tensor_is_spared_by_the_layers_that_make_and_read_it(graph: Graph, plain: QuantizedGraph) -> None:
    quantized = coarse(plain, "last")
    assert layers_around(graph, "last") == ("last", "logits")
    before, alone, both = (
        noise_shares(mixed, graph, IMAGES).sqnr_db
        for mixed in (quantized, keep_float(quantized, ["last"]), keep_float(quantized, ["last", "logits"]))
    )
    assert alone < before + 1
    assert both > before + 10


def test_layers_around(graph: Graph) -> None:
    assert layers_around(graph, "logits") == ("logits",)
    assert layers_around(graph, "mean") == ("last", "logits")
    assert layers_around(graph, "project") == ("project", "expand", "again", "last")
    assert layers_around(graph, graph.input) == ()


def test_coarse_logits_are_worth_their_layer(graph: Graph, plain: QuantizedGraph) -> None:
    quantized = coarse(plain, "logits")
    assert propose_keep_float(noise_shares(quantized, graph, IMAGES), quantized) == "logits"


@pytest.mark.parametrize(
    ("noise", "layers"),
    [
        (shares(("depthwise", 0.05, 0.3), ("logits", 0.1, 0.01)), "depthwise"),
        (shares(("logits", 0.2, 0.0), ("depthwise", 0.05, 0.3)), "depthwise,logits"),
        (shares(("depthwise", 0.0, 0.3), ("logits", 0.0, 0.3)), "auto"),
        (shares(("depthwise", 0.05, None), ("logits", 0.01, None), weights=0.8), "auto"),
        (shares(("depthwise", 0.1, 0.04), ("logits", 0.1, 0.04)), ""),
        (shares(("again", 0.0, 0.5)), ""),  # a sixth of the mult-adds
        (shares(("sum", 0.5, 0.0)), ""),  # three layers, half of the mult-adds
        (shares(("image", 0.5, 0.0)), ""),
    ],
)
def test_outliers_are_named(plain: QuantizedGraph, noise: NoiseShares, layers: str) -> None:
    assert propose_keep_float(noise, plain) == layers


def test_float_layers_stay_float(plain: QuantizedGraph) -> None:
    mixed = keep_float(plain, ["logits"])
    assert propose_keep_float(shares(("depthwise", 0.0, 0.3)), mixed) == "depthwise,logits"
    assert propose_keep_float(shares(("depthwise", 0.0, 0.1)), mixed) == ""
