"""No group is ever on two sides of a split, and every class keeps something to train with."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.data.splits import (
    ENOUGH_SCENES,
    few_groups_warnings,
    grouped_folds,
    hold_out_groups,
    leak_warning,
    one_scene_classes,
)
from edgenet.errors import EdgenetError


def files(labels: np.ndarray) -> list[bytes]:
    """Return as many different hashes as there are labels."""
    return [index.to_bytes(4, "big") for index in range(len(labels))]


def bursts(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and groups of four classes with 2, 3, 10 and 60 groups of 1 to 12 photos, shuffled."""
    rng = np.random.default_rng(seed)
    sizes = [rng.integers(1, 13, count) for count in (2, 3, 10, 60)]
    labels = np.repeat(np.arange(4), [size.sum() for size in sizes])
    groups = np.repeat(np.arange(75), np.concatenate(sizes))
    order = rng.permutation(len(labels))
    return labels[order], groups[order]


@pytest.mark.parametrize("seed", range(5))
def test_folds_never_part_a_group_and_spread_the_classes(seed: int) -> None:
    labels, groups = bursts(seed)
    folds = grouped_folds(labels, groups, 5, seed)
    assert set(folds) == set(range(5))
    assert all(len(set(folds[groups == group])) == 1 for group in range(75))
    for label in range(4):
        parts = np.bincount(folds[labels == label], minlength=5)
        assert (parts > 0).sum() == min(5, len(set(groups[labels == label])))
    assert parts.max() - parts.min() <= 12  # the class of 60 groups: no more than one group apart


def test_the_seed_decides_and_nothing_else() -> None:
    labels, groups = bursts(0)
    assert (grouped_folds(labels, groups, 5, 1) == grouped_folds(labels, groups, 5, 1)).all()
    assert (grouped_folds(labels, groups, 5, 1) != grouped_folds(labels, groups, 5, 2)).any()
    first, second = (hold_out_groups(labels, groups, files(labels), 0.2, seed)[1].tolist() for seed in (1, 2))
    assert first != second


def test_a_class_of_one_scene_always_trains() -> None:
    labels, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([4, 4, 4, 5, 6, 7])
    assert one_scene_classes(labels, groups) == (0,)
    assert grouped_folds(labels, groups, 10, 0).tolist()[:3] == [-1, -1, -1]
    assert sorted(grouped_folds(labels, groups, 10, 0).tolist()[3:]) == [0, 1, 2]
    kept, held_out = hold_out_groups(labels, groups, files(labels), 0.5, 0)
    assert set(kept.tolist()) >= {0, 1, 2}
    assert 1 <= len(held_out) <= 2


def test_all_photos_alike_leave_nothing_to_judge_by() -> None:
    labels, groups = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    assert grouped_folds(labels, groups, 5, 0).tolist() == [-1] * 4
    assert [part.tolist() for part in hold_out_groups(labels, groups, files(labels), 0.2, 0)] == [
        [0, 1, 2, 3],
        [],
    ]


def test_a_photo_under_two_labels_does_not_empty_a_class() -> None:
    labels, groups = np.array([0, 1, 0, 1, 1]), np.array([0, 0, 1, 2, 3])
    for seed in range(20):
        folds = grouped_folds(labels, groups, 2, seed)
        kept, _ = hold_out_groups(labels, groups, files(labels), 0.5, seed)
        assert folds[0] == folds[1]
        assert all(set(labels[folds != fold]) == {0, 1} for fold in (0, 1))
        assert set(labels[kept]) == {0, 1}
        assert (0 in kept) == (1 in kept)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_about_the_share_is_held_out_and_no_group_is_parted(seed: int, share: float) -> None:
    labels, groups = bursts(seed)
    kept, held_out = hold_out_groups(labels, groups, files(labels), share, seed)
    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(labels)))
    assert not set(groups[kept]) & set(groups[held_out])
    assert set(labels[kept]) == set(labels[held_out]) == {0, 1, 2, 3}
    many = labels == 3
    assert share - 0.06 <= many[held_out].sum() / many.sum() <= share + 0.06


def test_one_large_burst_is_not_held_out_where_small_groups_do() -> None:
    labels, groups = np.zeros(30, int), np.concatenate([np.zeros(25, int), np.arange(1, 6)])
    for seed in range(10):
        _, held_out = hold_out_groups(labels, groups, files(labels), 0.1, seed)
        assert len(held_out) == 3


def test_impossible_requests_are_refused() -> None:
    labels, groups = bursts(0)
    with pytest.raises(ValueError, match="at least 2"):
        grouped_folds(labels, groups, 1, 0)
    for share in (0.0, 1.0, -0.5, float("nan")):
        with pytest.raises(EdgenetError, match="give one between 0 and 1"):
            hold_out_groups(labels, groups, files(labels), share, 0)


def test_what_is_held_out_depends_on_contents_not_on_the_order() -> None:
    labels, groups = bursts(0)
    contents = files(labels)
    order = np.random.default_rng(1).permutation(len(labels))
    _, held = hold_out_groups(labels, groups, contents, 0.25, 3)
    _, again = hold_out_groups(labels[order], groups[order], [contents[one] for one in order], 0.25, 3)
    assert set(held.tolist()) == set(order[again].tolist())


def test_few_scenes_are_told_with_what_to_do() -> None:
    labels = np.repeat(np.arange(4), [30, 30, 30, 5])
    groups = np.concatenate(
        [np.arange(30) % 4, np.full(30, 10), np.arange(30) % ENOUGH_SCENES + 20, np.arange(40, 45)]
    )
    bolt, nut = few_groups_warnings(labels, groups, ("bolt", "nut", "washer", "pin"))
    assert bolt.startswith("30 photos of bolt look like 4 scenes: ")
    assert "photograph bolt in at least 4 other places" in bolt
    assert nut.startswith("30 photos of nut look like 1 scene: none can be held out")


def test_leaks_between_the_users_folders_are_told_by_name() -> None:
    names = ("train/a/1.jpg", "train/a/2.jpg", "val/a/1.jpg", "val/a/2.jpg")
    assert leak_warning((), names, 2, "train", "val") is None
    told = leak_warning(((2, 0),), names, 2, "train", "val")
    assert told is not None
    assert told.startswith(
        "1 of the 2 photos in val shows scenes that are in train too, such as val/a/1.jpg and train/a/1"
    )
