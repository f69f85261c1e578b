"""The learning curve: it rises with the photos, judges by other scenes, and says nothing where it knows nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenet.teaching.head import fit_head
from edgenet.teaching.learning_curve import learning_curve


def features(
    per_class: int, classes: int = 4, spread: float = 2.2, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features of which a few of many channels tell the classes apart, so that more photos help."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    values = spread * random.standard_normal((len(labels), 1, 40))
    values[np.arange(len(labels)), 0, labels] += 4.0
    return values.astype(np.float32), labels


def test_more_photos_help_and_the_expectation_holds() -> None:
    values, labels = features(24)
    curve = learning_curve(values, labels, np.arange(len(labels)), 4, 1e-2)
    assert [round(point.photos) for point in curve.points] == [2, 5, 10, 19]
    assert curve.points[0].accuracy < curve.points[-1].accuracy
    assert all(one.interval.low <= one.accuracy <= one.interval.high for one in curve.points)
    more, more_labels = features(48, seed=1)
    fresh, fresh_labels = features(500, seed=2)
    head = fit_head(more, more_labels, 4, 1e-2)
    truth = 100 * (head.logits(fresh[:, 0]).argmax(axis=1) == fresh_labels).mean()
    assert curve.doubled is not None
    assert curve.doubled.photos == pytest.approx(48)
    assert curve.doubled.interval.low <= truth <= curve.doubled.interval.high
    assert curve.doubled.accuracy > curve.points[-1].accuracy


def test_copies_of_a_scene_do_not_count_as_knowledge() -> None:
    """With 20 copies of each of 6 scenes per class, the copies of a scene never judge what it taught."""
    values, labels = features(6, spread=6.0)
    copies = np.repeat(values, 20, axis=0)
    groups = np.repeat(np.arange(len(labels)), 20)
    honest = learning_curve(copies, np.repeat(labels, 20), groups, 4, 1e-2)
    fooled = learning_curve(copies, np.repeat(labels, 20), np.arange(len(groups)), 4, 1e-2)
    assert fooled.points[-1].accuracy > 99
    assert honest.points[-1].accuracy < 70
    widths = [curve.points[-1].interval.high - curve.points[-1].interval.low for curve in (honest, fooled)]
    assert widths[0] > 5 * widths[1]


def test_without_errors_the_interval_still_has_a_width() -> None:
    values, labels = features(20, spread=0.01)
    curve = learning_curve(values, labels, np.arange(len(labels)), 4, 1e-2)
    assert curve.points[-1].accuracy == 100
    assert curve.doubled is not None
    assert curve.doubled.interval.low < 99
    assert curve.doubled.interval.high <= 100


def test_few_scenes_give_no_expectation() -> None:
    values, labels = features(4)
    curve = learning_curve(values, labels, np.arange(16), 4, 1e-2)
    assert curve.points
    assert curve.doubled is None


def test_a_scene_for_each_class_gives_no_curve() -> None:
    values, labels = features(10)
    assert learning_curve(values, labels, labels, 4, 1e-2).points == ()


def test_the_same_seed_gives_the_same_curve() -> None:
    values, labels = features(12)
    assert learning_curve(values, labels, np.arange(48), 4, 1e-2, 3) == learning_curve(
        values, labels, np.arange(48), 4, 1e-2, 3
    )


def test_a_large_set_is_judged_by_a_part_and_continued_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgenet.teaching import learning_curve as module

    monkeypatch.setattr(module, "MOST_PHOTOS", 60)
    values, labels = features(100)
    curve = learning_curve(values, labels, np.arange(400), 4, 1e-2)
    assert curve.points[-1].photos == pytest.approx(60 / 4 * 0.8, abs=1)
    assert curve.doubled is not None
    assert curve.doubled.photos == 200
