"""The answer for unknown things of networks that know their own photos by heart."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.teaching.head import LinearHead
from edgenet.teaching.unknown import JudgedPhotos
from edgenet.teaching.unknown_after_tuning import SeenByNetwork, calibrate_after_tuning

CHANNELS, CLASSES, FOLDS = 30, 3, 3


class World:
    """Networks that differ in the scale of their features, and that bring their own photos near the classes' centres.

    A new photo lies further away from its centre, another thing elsewhere.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.centres = 3 * self.rng.normal(size=(CLASSES, CHANNELS))
        self.elsewhere = 1.5 * self.rng.normal(size=(8, CHANNELS))

    def network(self, stretch: float) -> LinearHead:
        weight = (self.centres / stretch).astype(np.float32)
        return LinearHead(weight / 10, -(self.centres**2).sum(axis=1).astype(np.float32) / 20)

    def seen(self, head: LinearHead, values: np.ndarray, stretch: float) -> JudgedPhotos:
        scaled = (stretch * values).astype(np.float32)
        return JudgedPhotos(scaled, head.logits(scaled))

    def photos(self, labels: np.ndarray, spread: float) -> np.ndarray:
        return self.centres[labels] + spread * self.rng.normal(size=(len(labels), CHANNELS))

    def others(self, count: int) -> np.ndarray:
        return self.elsewhere[np.arange(count) % 8] + 1.5 * self.rng.normal(size=(count, CHANNELS))


def calibrated(
    world: World, stretches: tuple[float, ...], final: float, *, users_own: bool = True, moved: float = 0.0
) -> tuple[LinearHead, float, float]:
    """Return the final head with the answer, and the shares of new and of other things that it calls known.

    `moved` is how far new photos lie on the way to the middle of the other things.
    """
    others, labels = world.others(90), np.arange(150) % CLASSES
    folds = []
    for fold, stretch in enumerate(stretches):
        head, out = world.network(stretch), np.arange(150) // CLASSES % FOLDS == fold
        folds.append(
            SeenByNetwork(
                world.seen(head, world.photos(labels[~out], 0.6), stretch),
                world.seen(head, world.photos(labels[out], 2.0), stretch),
                world.seen(head, others, stretch),
                world.seen(head, others[:0], stretch),
                labels[out],
            )
        )
    head = world.network(final)
    own = SeenByNetwork(
        world.seen(head, world.photos(labels, 0.6), final),
        world.seen(head, others[:0], final),
        world.seen(head, others, final),
        world.seen(head, others[:0], final),
        labels[:0],
    )
    found = calibrate_after_tuning(head, folds, own, 0.95, users_own=users_own)
    assert found.false_alarms is not None
    assert found.auroc is not None
    fresh = np.arange(900) % CLASSES
    known, strange = (
        float((found.head.logits((final * values).astype(np.float32)).argmax(axis=1) < CLASSES).mean())
        for values in (
            (1 - moved) * world.photos(fresh, 2.0) + moved * world.elsewhere.mean(axis=0), world.others(900)
        )
    )  # fmt: skip
    if not moved:
        assert found.kept == pytest.approx(known, abs=0.06)
    assert found.false_alarms == pytest.approx(strange, abs=0.12)
    return found.head, known, strange


def test_the_stated_share_of_new_photos_stays_known() -> None:
    _, known, strange = calibrated(World(), (1.0, 1.0, 1.0), 1.0)
    assert 0.88 < known < 0.99
    assert strange < 0.3


def test_the_scale_of_the_final_network_does_not_matter() -> None:
    """Its features may be larger than those of the folds' networks, which were trained for fewer steps."""
    for final in (0.5, 2.0):
        _, known, _ = calibrated(World(1), (1.0, 1.1, 0.9), final)
        assert 0.86 < known < 0.99


def test_photos_trained_with_would_give_a_threshold_that_refuses_new_ones() -> None:
    """What this file is for: the margins of its own photos are no measure of those of new ones."""
    world = World(2)
    head = world.network(1.0)
    labels = np.arange(300) % CLASSES
    own, new = (
        world.seen(head, world.photos(labels, spread), 1.0).logits.max(axis=1) for spread in (0.6, 2.0)
    )
    assert (new < np.quantile(own, 0.05)).mean() > 0.15


def test_the_threshold_leaves_room_for_photos_of_another_day_where_other_things_are_far_away() -> None:
    """As without fine-tuning, and only where the other things are edgenet's own photos."""
    shares = {}
    for users_own in (True, False):
        world = World(3)
        world.centres *= 3
        shares[users_own] = calibrated(world, (1.0, 1.0, 1.0), 1.0, users_own=users_own, moved=0.35)
    assert shares[False][1] > shares[True][1] + 0.1
    assert shares[False][2] < 0.02
