"""Grouped convolutions, which each recipe quantizes group by group, and depthwise ones with several outputs each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgenet.graph.executor import run
from edgenet.graph.ir import Activation, Mean, Pads
from edgenet.graph.shapes import GraphBuilder
from edgenet.progress import silent
from edgenet.quantize.integer import run_integer
from edgenet.quantize.quantization_errors import sqnr_db
from edgenet.quantize.quantized_graph import dequantize_array
from edgenet.quantize.recipes import RECIPES
from tests.small_graphs import build, conv, depthwise, fully_connected, photos


@pytest.mark.parametrize("recipe", ["minmax", "fast", "balanced"])
def test_groups_are_quantized_as_well_as_anything(recipe: str) -> None:
    rng = np.random.default_rng(0)

    def make(builder: GraphBuilder, x: str) -> str:
        grouped = conv(rng, 8, 16, (3, 3), groups=4, pads=Pads(1, 1, 1, 1))
        x = builder.add(replace(grouped, activation=Activation.RELU), [x], "grouped")
        return builder.add(fully_connected(rng, 16, 5), [builder.add(Mean(False), [x], "mean")], "logits")

    graph, images = build(make, (8, 8), channels=8), photos(16, (8, 8))
    quantized = RECIPES[recipe].quantize(graph, images, silent)
    assert quantized.weights["grouped"].values.shape == (16, 3, 3, 2)
    wanted = run(graph, images)
    given = dequantize_array(run_integer(quantized, images), quantized.encodings[graph.output])
    assert sqnr_db(float(np.square(wanted).sum()), float(np.square(wanted - given).sum())) > 40


@pytest.mark.parametrize("multiplier", [2, 3])
@pytest.mark.parametrize("recipe", ["minmax", "fast", "balanced", "best"])
def test_several_outputs_of_each_channel(recipe: str, multiplier: int) -> None:
    rng = np.random.default_rng(1)

    def make(builder: GraphBuilder, x: str) -> str:
        each = depthwise(rng, 5, (3, 3), multiplier, Pads(1, 1, 1, 1))
        x = builder.add(replace(each, activation=Activation.RELU), [x], "depthwise")
        x = builder.add(conv(rng, 5 * multiplier, 8, (1, 1)), [x], "mixed")
        return builder.add(fully_connected(rng, 8, 5), [builder.add(Mean(False), [x], "mean")], "logits")

    graph, images, others = build(make, (8, 8), channels=5), photos(16, (8, 8)), photos(16, (8, 8), 1)
    quantized = RECIPES[recipe].quantize(graph, images, silent)
    wanted = run(graph, others)
    given = dequantize_array(run_integer(quantized, others), quantized.encodings[graph.output])
    assert sqnr_db(float(np.square(wanted).sum()), float(np.square(wanted - given).sum())) > 36
