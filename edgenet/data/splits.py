"""Splits photos into parts without ever parting a group, and warns where there are too few groups to judge by.

A group holds the photos of one scene (`data/groups.py`). A classifier that was trained with one photo of a scene knows
the others, so that its accuracy on them says nothing about new scenes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError

ENOUGH_SCENES = 8
"""A class with fewer scenes is judged by so few that its accuracy is hardly known: of 7 right scenes of 7, the 95 %
interval begins at 65 %."""


def grouped_folds(
    labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of each photo for cross-validation, int64 [n]; no group is in two folds.

    Every class is spread over the folds as evenly as its groups allow. Photos are in fold -1 if a class has no other
    group than theirs (`one_scene_classes`): they always train, because without them the class would be unknown, and
    nothing can be judged by them. There are no more folds than the typical class (the median) has groups: with three
    scenes of every class, three folds hold out one scene of each. More folds would hold out a scene of one class and
    none of another, and that class would look worse than it is.

    Args:
        labels: the class index of each photo [n].
        groups: the group of each photo [n].
        folds: the number of folds, at least 2.
        seed: the seed of the order in which groups of equal size are placed.

    Raises:
        ValueError: there are fewer than 2 folds.
    """
    if folds < 2:
        raise ValueError(f"{folds} folds: cross-validation needs at least 2")
    counts = _class_counts(labels, groups)
    shares = counts / counts.sum(axis=0)
    folds = min(folds, max(2, _median((counts > 0).sum(axis=0))))
    filled = np.zeros((folds, counts.shape[1]))
    placed = np.full(len(counts), -1, np.int64)
    order = np.random.default_rng(seed).permutation(len(counts))
    for group in order[np.argsort(-counts[order].sum(axis=1), kind="stable")]:
        classes = counts[group] > 0
        if _only_group(counts, group):
            continue
        fullest = filled[:, classes].max(axis=1)
        placed[group] = np.lexsort((filled.sum(axis=1), fullest))[0]
        filled[placed[group]] += shares[group]
    return _without_gaps(placed)[_positions(groups)]


def hold_out_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], contents: Sequence[bytes], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices to train with and the indices held out, both rising; no group is on both sides.

    About the same share of every class is held out, at least one group. Every class keeps at least one group to train
    with; of a class with a single group nothing is held out (`one_scene_classes`). The choice depends on the photos'
    contents and the seed, not on the order or the names of the photos.

    Args:
        labels: the class index of each photo [n].
        groups: the group of each photo [n].
        contents: a hash of each photo's file.
        share: the share of each class to hold out, between 0 and 1.
        seed: the seed of the choice.

    Raises:
        EdgenetError: the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise EdgenetError(f"the share to hold out is {share:g}", "give one between 0 and 1, such as 0.1")
    inside, of_class = _shuffled(labels.tolist(), groups.tolist(), contents, seed)
    left = {label: len(members) for label, members in of_class.items()}
    held: set[int] = set()
    for label, members in sorted(of_class.items()):
        wanted = max(1, round(share * sum(inside[group][label] for group in members)))
        found = sum(inside[group][label] for group in members if group in held)
        # Small groups that fit come before larger ones that hold out more than is wanted.
        for group in sorted(members, key=lambda one: inside[one][label] > wanted):
            if found >= wanted:
                break
            more = inside[group][label]
            last = any(left[own] == 1 for own in inside[group])
            if group in held or last or (found and found + more > 1.5 * wanted):
                continue
            held.add(group)
            found += more
            for own in inside[group]:
                left[own] -= 1
    side = np.isin(groups, sorted(held))
    return np.flatnonzero(~side), np.flatnonzero(side)


def _shuffled(
    labels: list[int], groups: list[int], contents: Sequence[bytes], seed: int
) -> tuple[dict[int, Counter[int]], dict[int, list[int]]]:
    """Return the number of photos of each class in each group, and the groups of each class in a random order."""
    inside: dict[int, Counter[int]] = {}
    first: dict[int, bytes] = {}
    for label, group, content in zip(labels, groups, contents, strict=True):
        inside.setdefault(group, Counter())[label] += 1
        first[group] = min(content, first.get(group, content))
    of_class: dict[int, list[int]] = {}
    salt = seed.to_bytes(8, "little")
    for group in sorted(inside, key=lambda one: hashlib.sha256(salt + first[one]).digest()):
        for label in inside[group]:
            of_class.setdefault(label, []).append(group)
    return inside, of_class


def _positions(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each photo the row of its group in `_class_counts`."""
    rows: NDArray[np.int64] = np.unique(groups, return_inverse=True)[1]
    return rows


def _class_counts(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of photos of each class that occurs in each group, int64 [groups, classes]."""
    classes, columns = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(np.unique(groups)), len(classes)), np.int64)
    np.add.at(counts, (_positions(groups), columns), 1)
    return counts


def _only_group(counts: NDArray[np.int64], group: int) -> bool:
    """Return whether a class of this group is in no other group."""
    return bool((counts.sum(axis=0) == counts[group])[counts[group] > 0].any())


def _median(scenes: NDArray[np.int64]) -> int:
    """Return the median number of groups of the classes that have more than one, rounded down; 0 if none has."""
    several = scenes[scenes > 1]
    return int(np.median(several)) if len(several) else 0


def _without_gaps(placed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the folds numbered from 0 without those that stayed empty; -1 stays."""
    used = np.unique(placed[placed >= 0])
    return np.where(placed < 0, -1, np.searchsorted(used, placed)).astype(np.int64)


def one_scene_classes(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> tuple[int, ...]:
    """Return the classes whose photos are all in one group: nothing can be held out of them, so nothing judges them."""
    counts = _class_counts(labels, groups)
    return tuple(np.unique(labels)[(counts > 0).sum(axis=0) == 1].tolist())


def few_groups_warnings(
    labels: NDArray[np.int64], groups: NDArray[np.int64], class_names: Sequence[str]
) -> tuple[str, ...]:
    """Return a warning, with what to do, for every class with many photos but few scenes (see `ENOUGH_SCENES`).

    Args:
        labels: the class index of each photo [n].
        groups: the group of each photo [n].
        class_names: the class names by class index.
    """
    counts = _class_counts(labels, groups)
    warnings = []
    for column, label in enumerate(np.unique(labels).tolist()):
        photos, scenes = int(counts[:, column].sum()), int((counts[:, column] > 0).sum())
        if scenes < ENOUGH_SCENES and photos >= 2 * scenes:
            warnings.append(_few_scenes(class_names[label], photos, scenes))
    return tuple(warnings)


def _few_scenes(name: str, photos: int, scenes: int) -> str:
    look = f"{photos} photos of {name} look like {scenes} scene{'s' * (scenes != 1)}"
    if scenes == 1:
        judged = "none can be held out, so nothing is known about its accuracy elsewhere"
    else:
        judged = "they teach and judge little more than as many single photos, so the accuracy is only a rough guess"
    missing = ENOUGH_SCENES - scenes
    places = f"{missing} other place{'s' * (missing != 1)}, with other light, backgrounds and sides"
    return f"{look}: {judged}; photograph {name} in at least {places} (each run of edgenet capture is one session)"


def leak_warning(
    pairs: Sequence[tuple[int, int]],
    names: Sequence[str],
    held_out: int,
    training_name: str,
    name: str,
    *,
    counted: bool = False,
) -> str | None:
    """Return a warning about photos of the user's validation or test folder that show scenes to train with.

    Args:
        pairs: (held-out photo, training photo), as `data.groups.leaks` gives them.
        names: the names of all photos, which the pairs index.
        held_out: the number of all held-out photos.
        training_name: the name of the folder to train with, such as "train".
        name: the name of the folder of the held-out photos, such as "val".
        counted: whether the accuracy counts these photos all the same.
    """
    if not pairs:
        return None
    first, second = pairs[0]
    effect = "the accuracy looks better than it is" if counted else "they do not count in the accuracy"
    few = f"{len(pairs)} of the {held_out} photos in {name} show{'s' * (len(pairs) == 1)} scenes that are in "
    return (
        f"{few}{training_name} too, such as {names[first]} and {names[second]}: {effect}; "
        f"move each scene to one of the two folders"
    )
