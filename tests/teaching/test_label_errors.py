"""Photos with a wrong label: planted ones are found, and few others are listed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenet.teaching.label_errors import find_label_errors, softmax


def scores(
    n: int, classes: int, sharpness: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits of a network that is as sure as it is right, and the true classes drawn from its probabilities."""
    random = np.random.default_rng(seed)
    logits = (sharpness * random.standard_normal((n, classes))).astype(np.float32)
    drawn = softmax(logits).cumsum(axis=1) > random.random((n, 1))
    return logits, drawn.argmax(axis=1)


def planted(
    truth: NDArray[np.int64], classes: int, share: float, seed: int
) -> tuple[NDArray[np.int64], set[int]]:
    random = np.random.default_rng(seed)
    wrong = random.choice(len(truth), round(share * len(truth)), replace=False)
    labels = truth.copy()
    labels[wrong] = (labels[wrong] + random.integers(1, classes, len(wrong))) % classes
    return labels, set(wrong.tolist())


@pytest.mark.parametrize(("sharpness", "least_recall"), [(12.0, 0.85), (6.0, 0.6)])
def test_planted_errors_are_found(sharpness: float, least_recall: float) -> None:
    logits, truth = scores(1000, 5, sharpness, 0)
    labels, wrong = planted(truth, 5, 0.05, 1)
    found = find_label_errors(logits, labels)
    hits = {one.index for one in found} & wrong
    assert len(hits) >= least_recall * len(wrong)
    assert len(hits) >= 0.6 * len(found)
    # The stated probabilities add up to about the number of listed photos that are wrong.
    assert sum(one.probability for one in found) == pytest.approx(len(hits), rel=0.35)


def test_a_network_that_is_often_wrong_does_not_blame_the_labels() -> None:
    logits, truth = scores(1000, 5, 2.0, 0)
    assert (logits.argmax(axis=1) != truth).mean() > 0.2
    assert len(find_label_errors(logits, truth)) <= 5


def test_overconfident_scores_are_calibrated_first() -> None:
    logits, truth = scores(1000, 5, 2.0, 0)
    assert len(find_label_errors(20 * logits, truth)) <= 5


def test_the_likeliest_error_comes_first_and_says_what_it_looks_like() -> None:
    logits, labels = np.full((200, 3), -6.0, np.float32), np.arange(200) % 3
    logits[np.arange(200), labels] = 6
    labels = labels.copy()
    labels[7], labels[8] = 0, 0  # they look like 1 and 2
    logits[8, 2] = 2.0
    logits[8, 0] = 0.0
    found = find_label_errors(logits, labels)
    assert next((one.index, one.given, one.likely) for one in found) == (7, 0, 1)
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)
    assert all(0.2 <= one.probability <= 1 for one in found)


def test_photos_without_a_label_and_empty_sets() -> None:
    logits, truth = scores(50, 4, 6.0, 0)
    nothing = find_label_errors(logits, np.full(50, -1))
    assert nothing == ()
    assert find_label_errors(np.zeros((0, 4), np.float32), np.zeros(0, np.int64)) == ()
    assert find_label_errors(np.zeros((9, 1), np.float32), np.zeros(9, np.int64)) == ()
    some = np.where(np.arange(50) < 25, truth, -1)
    assert all(one.index < 25 for one in find_label_errors(logits, some))
