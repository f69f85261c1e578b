"""The logits by which LiteRT judges a recipe's steps are those of our own integer execution."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.progress import silent
from edgenet.quantize.integer import real_logits
from edgenet.quantize.recipes import RECIPES
from edgenet.workflows.calibration import _logits
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


@pytest.mark.parametrize("recipe", ["minmax", "fast"])
def test_litert_judges_as_our_own_execution_does(recipe: str) -> None:
    graph = uneven_network(3)
    images = photos(20, graph.size)
    quantized = RECIPES[recipe].quantize(graph, images, silent)
    np.testing.assert_array_equal(_logits(quantized, images), real_logits(quantized, images))
    again = RECIPES[recipe].quantize(graph, images, silent, _logits)
    for name, weights in again.weights.items():
        np.testing.assert_array_equal(weights.values, quantized.weights[name].values)
