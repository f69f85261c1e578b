"""Finds pairs of photos of one class that show one scene: frames of a burst, pans, zooms, copies with other light.

Two measures are combined, because each finds what the other misses. A network's features see the same things from
another side. A patch of one thumbnail that is found again in the other, moved and scaled, sees the same surroundings;
its measure is the normalized cross-correlation (Lewis 1995, "Fast normalized cross-correlation").

How alike different scenes look depends on the set: hand signs on plain paper are more alike than photos of animals.
Photos of different classes are different scenes, so the most alike of them say how alike two of one class
must be.

The weights were fitted by logistic regression on half of the scenes, and judged on the other half, with the features of
ImageNet's MobileNetV2 at 96 pixels. A scene is one ImageNet photo and six random crops of it (60 to 95 % of its shorter
side, 3 degrees, 12 % of light); the classes are eight superclasses. See `benchmarks/burst_scenes.py` for the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenet.data.loading import evenly

NEIGHBOURS = 8
"""Every photo is compared with so many of its nearest photos, by features, and again by thumbnails."""
_SAMPLE = 256
"""At most so many photos of a set are compared with photos of other classes."""
_FEATURES, _PATCHES, _OFFSET = 9.64, 9.99, -14.81
_PATCHES_ALONE, _OFFSET_ALONE = 20.39, -18.83
"""The log odds that two photos show one scene, given their measures; without features, given the patches' alone."""
_CLEARANCE, _CLEARANCE_ALONE, _LEAST_ODDS, _MOST_ODDS = 0.8, 0.3, 0.3, 2.3
"""The log odds must exceed the 99th percentile of pairs of different classes by the clearance (the second one without
features), but within the bounds."""
_FEW, _LENIENCE = 2, 1.5
"""Photos in groups of at most so many are stragglers in a class of bursts: their log odds may be lower by so much. It
brings the crops of scenes that were not tuned on from 146 groups to 125 (there are 120), and changes no set of single
photos."""
_PATCH = 10
_TEMPLATE = 20
_TEMPLATES = ((6, 6), (0, 0), (12, 0), (0, 12), (12, 12))
"""Places (x, y) of the patches, _TEMPLATE pixels wide, of one thumbnail that are searched for in the other."""
_SCALED_SIDES = (27, 21, 18, 15, 13, 11)
"""Thumbnails of 32 pixels are shrunk to these sides, so that _PATCH pixels show 12, 15, 18, 21, 25 and 29 of the 32."""
_LEAST_LENGTH = 6.0 * (_PATCH**2 * 3) ** 0.5
"""A patch with a smaller standard deviation than 6 of 255 levels is flat, and would be found everywhere."""


def same_scene_pairs(
    thumbnails: NDArray[np.uint8], labels: NDArray[np.int64], features: NDArray[np.float32] | None = None
) -> NDArray[np.int64]:
    """Return pairs of photos of one class that show one scene, as rising rows (index, larger index), int64 [m, 2].

    Not every such pair is listed, but the photos of a scene are connected by pairs. A photo takes about 2 ms.

    Args:
        thumbnails: the square that the network sees, uint8 RGB [n, 32, 32, 3].
        labels: the class index of each photo, int64 [n].
        features: a frozen network's features of each photo, float32 [n, channels]; None compares thumbnails only, and
            finds fewer pairs.
    """
    if not len(labels):
        return np.zeros((0, 2), np.int64)
    looks = _Looks.of(thumbnails, features)
    pairs = _ordered([_of_class(looks, np.flatnonzero(labels == label)) for label in np.unique(labels)])
    odds = _odds(looks, pairs) - _least_odds(looks, labels)
    certain = pairs[odds > 0]
    return _ordered([certain, _stragglers(pairs, odds, labels, connected(len(labels), certain))])


def _stragglers(
    pairs: NDArray[np.int64],
    odds: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the best pair of each photo that is nearly alone in a class of bursts, if its odds are nearly enough.

    Where most photos of a class are in bursts, one that is left over is likely to be in a burst as well.
    """
    sizes = np.bincount(groups)[groups]
    in_bursts = np.bincount(labels, sizes > _FEW) / np.maximum(np.bincount(labels), 1)
    near = np.flatnonzero((odds <= 0) & (odds > -_LENIENCE) & (in_bursts[labels[pairs[:, 0]]] >= 0.5))
    best: dict[int, int] = {}
    for row in near[np.argsort(odds[near])].tolist():  # the highest odds come last
        best |= {photo: row for photo in pairs[row].tolist() if sizes[photo] <= _FEW}
    return pairs[sorted(set(best.values()))]


@dataclass(frozen=True)
class _Looks:
    """What is compared of the photos.

    Attributes:
        thumbnails: as in `same_scene_pairs`.
        units: vectors of length 1 whose scalar products are similarities: of the centred features, if there are any,
            and of the centred thumbnails; float32 [n, values] each.
    """

    thumbnails: NDArray[np.uint8]
    units: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(cls, thumbnails: NDArray[np.uint8], features: NDArray[np.float32] | None) -> _Looks:
        flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
        units = [flat - flat.mean(axis=1, keepdims=True)]
        if features is not None:
            units.insert(0, features - features.mean(axis=0))
        lengths = [np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-6) for one in units]
        return cls(thumbnails, tuple(one / length for one, length in zip(units, lengths, strict=True)))


def _of_class(looks: _Looks, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pairs of photos of a class that may show one scene: near ones, and neighbours in the set's order."""
    near = [_nearest(unit, members, members, NEIGHBOURS) for unit in looks.units]
    return np.concatenate([*near, np.stack([members[:-1], members[1:]], axis=1)])


def _nearest(
    units: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Return for each photo of `rows` its `count` nearest ones of `columns`, as rows (photo, near photo)."""
    found = [np.zeros((0, 2), np.int64)]
    count = min(count, len(columns) - 1)
    for start in range(
        0, len(rows) if count > 0 else 0, 1024
    ):  # so that a block of similarities fits the memory
        some = rows[start : start + 1024]
        similar = units[some] @ units[columns].T
        similar[some[:, None] == columns[None]] = -np.inf
        top = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        found.append(np.stack([np.repeat(some, count), columns[top].ravel()], axis=1))
    return np.concatenate(found)


def _ordered(pairs: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    every = np.sort(np.concatenate([np.zeros((0, 2), np.int64), *pairs]), axis=1)
    return np.unique(every, axis=0)


def _least_odds(looks: _Looks, labels: NDArray[np.int64]) -> float:
    """Return the log odds above which two photos count as one scene; see `_CLEARANCE`."""
    pairs = []
    sample = np.array(evenly(len(labels), _SAMPLE))
    for label in np.unique(labels[sample]):
        here, others = sample[labels[sample] == label], np.flatnonzero(labels != label)
        pairs += [_nearest(unit, here, others, 1) for unit in looks.units]
    different = _ordered(pairs)
    if not len(different):  # one class only
        return _MOST_ODDS
    clearance = _CLEARANCE if len(looks.units) == 2 else _CLEARANCE_ALONE
    found = float(np.percentile(_odds(looks, different), 99)) + clearance
    return min(max(found, _LEAST_ODDS), _MOST_ODDS)


def _odds(looks: _Looks, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the log odds [m] that each pair shows one scene."""
    patches = _patch_correlations(looks.thumbnails, pairs)
    if len(looks.units) == 1:
        return _PATCHES_ALONE * patches + _OFFSET_ALONE
    features = np.einsum("ij,ij->i", looks.units[0][pairs[:, 0]], looks.units[0][pairs[:, 1]])
    return _FEATURES * features + _PATCHES * patches + _OFFSET


def _patch_correlations(thumbnails: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return for each pair the highest correlation of a patch of either photo with any window of the other one."""
    templates = _templates(thumbnails)
    both = np.concatenate(
        [pairs, pairs[:, ::-1]]
    )  # the windows of the first photo, the patches of the second
    best = np.empty(len(both), np.float32)
    for rows in _rows_by_photo(both[:, 0]):
        windows, lengths = _windows(thumbnails[both[rows[0], 0]])
        wanted = templates[both[rows, 1]].reshape(-1, windows.shape[1])
        best[rows] = (wanted @ windows.T / lengths).max(axis=1).reshape(len(rows), -1).max(axis=1)
    return np.maximum(*best.reshape(2, -1))


def _rows_by_photo(photos: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    order = np.argsort(photos, kind="stable")
    starts = np.flatnonzero(np.diff(photos[order])) + 1
    yield from (rows for rows in np.split(order, starts) if len(rows))


def _templates(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the patches that are searched for, centred and of length 1 (0 if flat), float32 [n, patches, values]."""
    found = np.empty((len(thumbnails), len(_TEMPLATES), _PATCH**2, 3), np.float32)
    for index, one in enumerate(thumbnails):
        for number, (x, y) in enumerate(_TEMPLATES):
            patch = one[y : y + _TEMPLATE, x : x + _TEMPLATE]
            small = cv2.resize(patch, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA)
            found[index, number] = small.reshape(-1, 3)
    centred = (found - found.mean(axis=2, keepdims=True)).reshape(*found.shape[:2], -1)
    length = np.linalg.norm(centred, axis=2, keepdims=True)
    unit: NDArray[np.float32] = np.where(
        length > _LEAST_LENGTH, centred / np.maximum(length, 1), np.float32(0)
    )
    return unit


def _windows(thumbnail: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return all windows of a thumbnail [m, values], and the length of each once it is centred (infinite if flat).

    The windows themselves are not centred, because the templates are: that leaves the scalar products the same.
    """
    found, squared = [], []
    for side in _SCALED_SIDES:
        small = cv2.resize(thumbnail, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        step, places = (2 if side > 18 else 1), side - _PATCH + 1
        views = np.lib.stride_tricks.sliding_window_view(small, (_PATCH, _PATCH), axis=(0, 1))
        found.append(views[::step, ::step].transpose(0, 1, 3, 4, 2).reshape(-1, _PATCH**2 * 3))
        sums, squares = (
            cv2.boxFilter(x, -1, (_PATCH, _PATCH), anchor=(0, 0), normalize=False)[:places:step, :places:step]
            for x in (small, small * small)
        )
        squared.append((squares - sums * sums / _PATCH**2).sum(axis=2).ravel())
    length = np.sqrt(np.maximum(np.concatenate(squared), 0))
    return np.concatenate(found), np.where(length > _LEAST_LENGTH, length, np.float32(np.inf))


def connected(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the connected component of each of `count` photos, numbered from 0 by their first photos.

    Args:
        pairs: the connections, int64 [m, 2].
    """
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in pairs.tolist():
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    roots = np.array([root(index) for index in range(count)], np.int64)
    numbered: NDArray[np.int64] = np.unique(roots, return_inverse=True)[1].astype(np.int64)
    return numbered
