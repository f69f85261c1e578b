"""Steps are kept where they win on photos that they have not seen, and the result says which were kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import edgenet.quantize.earned_steps as earned_steps
from edgenet.graph.executor import run
from edgenet.graph.ir import WEIGHTED, Graph, Node
from edgenet.progress import silent
from edgenet.quantize.earned_steps import (
    COMPENSATE,
    EQUALIZE,
    GPTQ,
    JUDGES,
    LARGEST,
    NEAREST,
    ROOM,
    ROTATE,
    quantize_earning,
)
from edgenet.quantize.integer import real_logits
from edgenet.quantize.quantization_errors import logit_errors
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.quantize.recipes import BALANCED, FAST, RECIPES
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 40, 200])
def test_no_photo_judges_what_it_was_used_for(count: int) -> None:
    images = photos(count, (4, 4))
    parts = earned_steps._Photos.split(images)
    seen = {photo.tobytes() for photo in parts.some(count)}
    assert not seen & {photo.tobytes() for photo in parts.judging}
    assert 1 <= len(parts.judging) <= JUDGES
    if count >= 4:
        assert len(parts.fitting) + len(parts.judging) == count


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_is_fitted_to_photos_none_of_which_can_judge(count: int) -> None:
    graph = uneven_network(0)
    steps = quantize_earning(graph, photos(count, graph.size), BALANCED, silent).steps
    assert not {ROTATE, EQUALIZE, COMPENSATE} & set(steps)
    assert ROOM in steps


def test_what_was_kept_is_named() -> None:
    graph = uneven_network(0)
    images = photos(24, graph.size)
    steps = quantize_earning(graph, images, BALANCED, silent).steps
    assert ROOM in steps
    assert {ROTATE, EQUALIZE} & set(steps)  # the network is made so that reshaping wins
    assert (GPTQ in steps) == (COMPENSATE in steps)
    assert (GPTQ in steps) != (NEAREST in steps)


def test_a_step_that_harms_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equalization is replaced by one that keeps the function, but makes one channel 1000 times larger."""
    graph = uneven_network(0)
    images = photos(24, graph.size)

    def harm(given: Graph, *rest: Any) -> Graph:
        nodes: list[Node] = []
        for node in given.nodes:
            operator = node.operator
            if node.name in ("project", "again", "expand", "last") and isinstance(operator, WEIGHTED):
                weight, bias = operator.weight.copy(), operator.bias.copy()
                if node.name in ("project", "again"):
                    weight[0] *= 1000
                    bias[0] *= 1000
                else:
                    weight[..., 0] /= 1000
                operator = replace(operator, weight=weight, bias=bias)
            nodes.append(replace(node, operator=operator))
        changes = rest[-1] if rest else {}
        for name, change in changes.items():  # the rotated tensors, which are those of these layers
            factors = np.r_[1000, np.ones(len(change.factors) - 1)][:, None] * change.factors
            changes[name] = replace(change, factors=factors)
        return given.with_nodes(nodes)

    assert np.abs(run(harm(graph), images) - run(graph, images)).max() < 1e-2
    monkeypatch.setattr(earned_steps, "equalize", harm)
    steps = quantize_earning(graph, images, FAST, silent).steps
    assert EQUALIZE not in steps


def test_plain_minmax_is_kept_if_nothing_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = uneven_network(0)
    images = photos(12, graph.size)

    def ruined(quantize: Callable[..., QuantizedGraph]) -> Callable[..., QuantizedGraph]:
        def ruin(*given: object) -> QuantizedGraph:
            quantized = quantize(*given)
            weights = {n: replace(w, values=np.zeros_like(w.values)) for n, w in quantized.weights.items()}
            return replace(quantized, weights=weights)

        return ruin

    for name in ("quantize_layers", "quantize_quickly"):
        monkeypatch.setattr(earned_steps, name, ruined(getattr(earned_steps, name)))
    for effort in (FAST, BALANCED):
        assert LARGEST in quantize_earning(graph, images, effort, silent).steps


@pytest.mark.parametrize("count", [1, 8])
def test_with_few_photos_no_recipe_is_worse_than_minmax(count: int) -> None:
    graph = uneven_network(1)
    images, others = photos(count, graph.size), photos(80, graph.size)[40:]
    real = run(graph, others)
    costs = {
        name: logit_errors(real_logits(RECIPES[name].quantize(graph, images, silent), others), real).cost
        for name in ("minmax", "fast", "balanced")
    }
    assert costs["fast"] < costs["minmax"]
    assert costs["balanced"] < costs["minmax"]


def test_the_given_logits_judge() -> None:
    graph = uneven_network(0)
    images = photos(16, graph.size)
    kept: list[QuantizedGraph] = []

    def only_minmax_is_right(quantized: QuantizedGraph, judging: np.ndarray) -> np.ndarray:
        kept.append(quantized)
        right = LARGEST in quantized.steps
        return real_logits(quantized, judging) if right else np.zeros((len(judging), 6), np.float32)

    quantized = quantize_earning(graph, images, FAST, silent, only_minmax_is_right)
    assert LARGEST in quantized.steps
    assert len(kept) == 4  # the original network, the rotated one, the one also equalized, and minmax
