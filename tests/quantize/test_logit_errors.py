"""What is measured at the logits, on logits whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.quantize.quantization_errors import (
    PhotoErrors,
    confidence,
    highest_logit,
    logit_errors,
    photo_errors,
)
from edgenet.quantize.quantized_graph import dequantize_array
from tests.small_graphs import photos, quantize
from tests.uneven_network import uneven_network

REAL = np.array([[3.0, 1.0, 0.0], [0.0, 4.0, 1.0], [2.0, 0.0, 1.0], [1.0, 0.0, 5.0]], np.float32)


def test_equal_logits_have_no_errors() -> None:
    found = logit_errors(REAL, REAL)
    assert (found.n, found.agreeing, found.saturated) == (4, 4, None)
    assert found.kl == pytest.approx(0, abs=1e-12)
    assert found.worst_db > 100


def test_the_divergence_is_that_of_the_probabilities() -> None:
    """A shift of all logits changes none; swapping two classes of probability p and q costs (p - q) log(p / q)."""
    assert logit_errors(REAL + 7, REAL).kl == pytest.approx(0, abs=1e-9)
    real = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))
    found = logit_errors(real[:, [1, 0, 2]], real)
    assert found.kl == pytest.approx(0.5 * np.log(3.5), rel=1e-5)
    assert found.agreeing == 0


def test_the_worst_photos_decide_about_the_decibels() -> None:
    real = np.repeat(REAL[:1], 100, axis=0)
    given = real.copy()
    given[:, 2] += 0.01
    given[:10, 2] += 1.0
    assert logit_errors(given, real).worst_db == pytest.approx(10 * np.log10(10 / 1.01**2), abs=0.01)


def test_photos_whose_best_logit_is_the_highest_are_counted() -> None:
    found = logit_errors(np.minimum(REAL, 3.5), REAL, highest=3.5)
    assert (found.saturated, found.agreeing) == (2, 4)


def test_photos_in_parts_give_the_figures_of_all_together() -> None:
    given = np.minimum(REAL + np.random.default_rng(1).normal(0, 0.3, REAL.shape), 3.5).astype(np.float32)
    parts = [photo_errors(given[place], REAL[place], 3.5) for place in (slice(0, 1), slice(1, 4))]
    joined = PhotoErrors.joined(parts)
    assert joined.summary() == logit_errors(given, REAL, 3.5)
    chosen = np.array([True, False, True, True])
    assert joined.summary(chosen) == logit_errors(given[chosen], REAL[chosen], 3.5)


def test_ten_times_the_noise_costs_more() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.01, REAL.shape).astype(np.float32)
    costs = [logit_errors(REAL + factor * noise, REAL).cost for factor in (1, 3, 10)]
    assert costs == sorted(costs)


def test_the_highest_logit_is_that_of_step_127() -> None:
    graph = uneven_network(0)
    quantized = quantize(graph, photos(4, graph.size))
    encoding = quantized.encodings[graph.output]
    highest = dequantize_array(np.array([127], np.int8), encoding)[0]
    assert highest_logit(quantized) == pytest.approx(highest, rel=1e-6)


def test_confidence_is_the_median_of_the_best_probabilities() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32))
    assert confidence(logits) == pytest.approx(0.8, rel=1e-5)
