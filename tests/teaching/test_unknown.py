"""The output "nothing I know": its temperature, its threshold, and what photos of other things add to it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.frames.photos import read_photo
from numpy.typing import NDArray

from edgenet.assets import calibration_photos
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.teaching.head import LinearHead, cross_validated, fit_head
from edgenet.teaching.unknown import (
    JudgedPhotos,
    Unknown,
    auroc,
    background_class,
    background_photos,
    calibrate_unknown,
    fit_row,
    fit_temperature,
    lowered,
)

Rows = NDArray[np.float32]
CHANNELS, CLASSES = 40, 3


@dataclass(frozen=True)
class Things:
    """Features of known and of other things, which are like class 0 except in a direction of their own."""

    values: Rows
    labels: NDArray[np.int64]
    fresh: Rows
    others: Rows
    fresh_others: Rows
    head: LinearHead
    logits: Rows
    folds: NDArray[np.int64]


@pytest.fixture(scope="module")
def things() -> Things:
    rng = np.random.default_rng(0)
    centres = 1.5 * rng.normal(size=(CLASSES, CHANNELS))
    elsewhere = centres[0] + 2 * rng.normal(size=CHANNELS)

    def around(centre: NDArray[np.float64]) -> Rows:
        return np.maximum(centre + 1.5 * rng.normal(size=centre.shape) + 2, 0).astype(np.float32)

    labels, folds = np.arange(120) % CLASSES, np.arange(120) // CLASSES % 5
    values = around(centres[labels])
    found = cross_validated(values[:, None], labels, folds, CLASSES, (1e-2, 1e-3))
    return Things(
        values,
        labels,
        around(centres[np.arange(600) % CLASSES]),
        around(np.tile(elsewhere, (60, 1))),
        around(np.tile(elsewhere, (600, 1))),
        fit_head(values[:, None], labels, CLASSES, found.strength),
        found.logits,
        folds,
    )


def calibrated(
    things: Things, others: Rows, keep: float = 0.95, more: Rows | None = None, users_own: bool = True
) -> Unknown:
    return calibrate_unknown(
        things.head,
        things.values,
        things.logits,
        things.labels,
        others,
        keep,
        folds=things.folds,
        more_background=more,
        users_own=users_own,
    )


def known(unknown: Unknown, values: Rows) -> NDArray[np.bool_]:
    """Return whether a client says one of the classes, by its best output."""
    return unknown.head.logits(values).argmax(axis=1) < CLASSES


# The head -------------------------------------------------------------------------------------------------------


def test_the_classes_keep_their_order_and_get_true_probabilities(things: Things) -> None:
    head, found = things.head, calibrated(things, things.others)
    assert found.head.weight.shape == (CLASSES + 1, CHANNELS)
    assert found.head.bias.shape == (CLASSES + 1,)
    assert (found.head.weight.dtype, found.head.bias.dtype) == (np.float32, np.float32)
    before, after = head.logits(things.fresh), found.head.logits(things.fresh)[:, :CLASSES]
    np.testing.assert_allclose(
        after - after[:, :1], (before - before[:, :1]) / found.temperature, rtol=1e-3, atol=1e-3
    )
    assert found.temperature == pytest.approx(fit_temperature(things.logits, things.labels))


def test_the_stated_share_of_new_known_things_stays_known(things: Things) -> None:
    for keep in (0.8, 0.95):
        found = calibrated(things, things.others, keep)
        assert keep <= found.kept <= keep + 0.02
        # Heads that are fitted without a fold see fewer photos and are less sure: the head of all keeps more.
        assert keep - 0.03 < np.mean(known(found, things.fresh)) < keep + 0.1


def test_photos_of_other_things_teach_what_the_energy_alone_cannot(things: Things) -> None:
    without, with_others = calibrated(things, things.others[:0]), calibrated(things, things.others)
    assert without.head.weight[CLASSES] == pytest.approx(-without.head.weight[:CLASSES].sum(axis=0), abs=1e-4)
    alarms = [float(np.mean(known(found, things.fresh_others))) for found in (without, with_others)]
    assert alarms[1] < alarms[0] / 3


def test_the_figures_are_those_of_new_photos(things: Things) -> None:
    found = calibrated(things, things.others)
    assert found.judged == len(things.others)
    assert found.false_alarms == pytest.approx(np.mean(known(found, things.fresh_others)), abs=0.1)
    logits = [found.head.logits(values) for values in (things.fresh, things.fresh_others)]
    scores = [rows[:, :CLASSES].max(axis=1) - rows[:, CLASSES] for rows in logits]
    assert found.auroc == pytest.approx(auroc(*scores), abs=0.03)


def test_no_figure_comes_from_too_few_photos_of_other_things(things: Things) -> None:
    for count in (0, 1):
        found = calibrated(things, things.others[:count])
        assert (found.auroc, found.false_alarms, found.judged) == (None, None, 0)
        assert found.kept >= 0.95


def test_further_photos_help_and_count_in_no_figure(things: Things) -> None:
    few = things.others[:4]
    alone, helped = calibrated(things, few), calibrated(things, few, more=things.others[4:])
    assert (alone.judged, helped.judged) == (4, 4)
    margins = [
        (rows[:, :CLASSES].max(axis=1) - rows[:, CLASSES]).mean()
        for rows in (found.head.logits(things.fresh_others) for found in (helped, alone))
    ]
    assert margins[0] < margins[1]  # how far the best class is above "nothing I know"


def test_photos_of_edgenet_that_show_a_class_do_not_teach_that_it_is_unknown(things: Things) -> None:
    mixed = np.concatenate([things.others[:20], things.fresh[1::CLASSES][:4]])
    sure, doubted = (calibrated(things, mixed, users_own=own) for own in (True, False))

    def score(found: Unknown) -> float:
        rows = [found.head.logits(values) for values in (things.fresh[1::CLASSES][4:], things.fresh_others)]
        return auroc(*(logits[:, :CLASSES].max(axis=1) - logits[:, CLASSES] for logits in rows))

    assert 1 - score(doubted) < (1 - score(sure)) / 3
    # They count in the figures all the same.
    assert doubted.judged == len(mixed)
    assert doubted.false_alarms is not None
    assert doubted.false_alarms >= 4 / 24 - 1e-9
    # What the user says of the photos in a folder holds, also where further photos are in doubt.
    more = calibrated(things, mixed, more=things.fresh[1::CLASSES][:4])
    assert score(more) <= score(sure) + 0.001


def test_the_threshold_leaves_room_for_fresh_photos_where_other_things_are_far_away(things: Things) -> None:
    far = things.others + 6
    mine, theirs = (calibrated(things, far, users_own=own) for own in (True, False))
    moved = things.fresh + 0.4 * (far.mean(axis=0) - things.fresh.mean(axis=0))  # another day or place
    assert np.mean(known(theirs, moved)) > np.mean(known(mine, moved)) + 0.2
    assert theirs.kept > mine.kept
    assert theirs.false_alarms == 0
    assert not known(theirs, things.fresh_others + 6).any()


def test_the_threshold_stays_where_other_things_come_near_it_or_are_too_few() -> None:
    assert lowered(2.0, np.linspace(-6.0, 3.0, 100)) == 2
    assert lowered(2.0, np.full(5, -6.0)) == 2
    assert lowered(2.0, np.full(50, -6.0)) == -2
    assert lowered(2.0, np.append(np.full(199, -6.0), 5.0)) == -2  # one of 200 does not count


def test_the_extra_output_needs_no_wider_range_in_int8(things: Things) -> None:
    found = calibrated(things, things.others)
    seen = np.concatenate([things.values, things.others])
    assert np.ptp(found.head.logits(seen)) < 1.5 * np.ptp(things.head.logits(seen) / found.temperature)


def test_the_same_photos_give_the_same_head(things: Things) -> None:
    one, other = calibrated(things, things.others), calibrated(things, things.others)
    np.testing.assert_array_equal(one.head.weight, other.head.weight)
    np.testing.assert_array_equal(one.head.bias, other.head.bias)


def test_a_single_fold_and_a_single_photo_are_no_trouble(things: Things) -> None:
    for rows in (slice(0, 1), slice(0, 7)):
        found = calibrate_unknown(
            things.head, things.values[rows], things.logits[rows], things.labels[rows], things.others
        )
        assert np.isfinite(found.head.weight).all()
        assert np.isfinite(found.head.bias).all()


def test_a_share_that_is_none_is_refused(things: Things) -> None:
    for keep in (0.0, 1.0, 95.0):
        with pytest.raises(EdgenetError, match="a share between 0 and 1"):
            calibrated(things, things.others, keep)


def of_classes(weight: Rows, classes: NDArray[np.int64], rng: np.random.Generator) -> Rows:
    """Return features that excite these classes of a pretrained last layer, with noise around them."""
    return (weight[classes] + 3 * rng.normal(size=(len(classes), weight.shape[1]))).astype(np.float32)


def test_the_pretrained_classes_say_what_few_photos_cannot() -> None:
    """The user's photos are of the first half of the pretrained classes, and other things of the second half."""
    better = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        # Each half of the classes has something in common, as animals have, and buildings.
        kinds = np.repeat(rng.normal(size=(2, 300)), 10, axis=0)
        weight = (0.5 * (rng.normal(size=(20, 300)) + kinds)).astype(np.float32)
        pretrained = LinearHead(weight, np.zeros(20, np.float32))
        known, others = (
            JudgedPhotos(
                of_classes(weight, rng.integers(0, 10, 40) + first, rng), np.zeros((40, 3), np.float32)
            )
            for first in (0, 10)
        )
        fresh, strange = (of_classes(weight, rng.integers(0, 10, 1000) + first, rng) for first in (0, 10))
        scores = []
        for hint in (None, pretrained):
            row, _ = fit_row(known, others, hint)
            scores.append(auroc(-(fresh @ row), -(strange @ row)))
        better.append(scores[1] - scores[0])
    assert min(better) > 0.01


def test_pretrained_classes_that_are_all_alike_say_nothing(things: Things) -> None:
    head = LinearHead(np.ones((5, CHANNELS), np.float32), np.zeros(5, np.float32))
    known, others = (
        JudgedPhotos(values, things.head.logits(values)) for values in (things.values, things.others)
    )
    alone, hinted = fit_row(known, others), fit_row(known, others, head)
    np.testing.assert_array_equal(alone[0], hinted[0])
    assert alone[1] == hinted[1]


# Its parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 4))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((len(logits), 1)) > shares.cumsum(axis=1)).sum(axis=1)
    found = fit_temperature((logits * temperature).astype(np.float32), labels)
    assert found == pytest.approx(temperature, rel=0.05)


def test_logits_that_are_always_right_get_a_finite_temperature() -> None:
    logits = np.eye(3, dtype=np.float32)
    assert 0 < fit_temperature(logits, np.arange(3)) < 1
    assert np.isfinite(fit_temperature(-logits, np.arange(3)))


def test_auroc_by_hand() -> None:
    assert auroc(np.array([2.0, 3.0]), np.array([1.0, 0.0])) == 1
    assert auroc(np.array([0.0]), np.array([1.0])) == 0
    # (3 > 2, 3 > 1), (1 = 1 half, 1 < 2): 2.5 of 4 pairs
    assert auroc(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == 2.5 / 4


def test_the_class_for_other_things_is_recognized() -> None:
    assert background_class(["cup", "None", "plate"]) == "None"
    assert background_class(["BACKGROUND"]) == "BACKGROUND"
    assert background_class(["cup", NOTHING_KNOWN]) == NOTHING_KNOWN
    assert background_class(["cup", "nonesuch", "unknown soldier", ""]) is None
    with pytest.raises(EdgenetError, match="'none' and 'Unknown' are both for photos of other things"):
        background_class(["none", "cup", "Unknown"])


def test_every_second_photo_of_edgenets_own_is_a_close_up_of_its_middle() -> None:
    whole, mixed = open_photos(calibration_photos()), background_photos()
    assert mixed.names == whole.names
    assert mixed.read_bytes(0) == whole.read_bytes(0)
    photo, close = read_photo(whole.read_bytes(1)), read_photo(mixed.read_bytes(1))
    side = min(photo.shape[:2]) // 2
    assert close.shape == (side, side, 3)
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    np.testing.assert_array_equal(close, photo[top : top + side, left : left + side])
    assert cv2.imdecode(np.frombuffer(mixed.read_bytes(3), np.uint8), cv2.IMREAD_COLOR) is not None


@pytest.mark.parametrize("photos", [8, 80])
def test_few_photos_that_are_all_right_make_no_network_certain(photos: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(photos) % 4
    logits = (5 * np.eye(4)[labels] + rng.normal(0, 0.3, (photos, 4))).astype(np.float32)
    scaled = logits / fit_temperature(logits, labels)
    surest = (np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)).max(axis=1).mean()
    assert 1 - 2.5 / (photos + 2) < surest < 1 - 0.2 / (photos + 2)
