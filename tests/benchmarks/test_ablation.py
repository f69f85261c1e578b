"""The ablation: its steps build on one another, and the last are the recipes themselves."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ablation import judged, steps
from edgenet.graph.executor import run
from edgenet.progress import silent
from edgenet.quantize.recipes import RECIPES
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


@pytest.mark.slow
def test_every_step_is_judged_and_the_last_are_the_recipes() -> None:
    graph = uneven_network(0)
    images, others = photos(16, graph.size), photos(40, graph.size)[16:]
    real = run(graph, others)
    made = {name: step(graph, images) for name, step in steps()}
    figures = {name: judged(each, others, real, real.argmax(1)) for name, each in made.items()}
    assert len(made) == 10
    assert len({each.sqnr_db for each in figures.values()}) >= 8  # it has no dead channels
    assert all(each.float_top1 == 100 and each.top1 == each.agreement for each in figures.values())
    for name, recipe in (("compensation: `balanced`", "balanced"), ("doubled channels: `best`", "best")):
        own = RECIPES[recipe].quantize(graph, images, silent)
        for node, weights in own.weights.items():
            np.testing.assert_array_equal(made[name].weights[node].values, weights.values)
        assert figures[name].sqnr_db > figures["`minmax`"].sqnr_db + 3
