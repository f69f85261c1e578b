"""Groups the photos of a set by scene, so that photos of one scene are never on both sides of a split.

Photos belong together if their files are equal, if their names say so (one session of `edgenet capture` or of a camera
in the field, one burst of a phone, frames of one video, Roboflow's copies of one photo), or if two photos of one class
look like one scene: frames of a burst, pans, zooms, copies with other light.

For the looks, two measures are combined, because each finds what the other misses. A network's features see the same
things from another side. A patch of one thumbnail that is found again in the other, moved and scaled, sees the same
surroundings; its measure is the normalized cross-correlation (Lewis 1995, "Fast normalized cross-correlation").

How alike different scenes look depends on the set: hand signs on plain paper are more alike than photos of animals.
Photos of different classes are different scenes, so the most alike of them say how alike two of one class must be.

The weights were fitted by logistic regression on half of the scenes, and judged on the other half, with the features
of ImageNet's MobileNetV2 at 96 pixels. A scene is one ImageNet photo and six random crops of it (60 to 95 % of its
shorter side, 3 degrees, 12 % of light); the classes are eight superclasses. See `benchmarks/burst_scenes.py` for the
figures.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenet.data.loading import evenly

COPY, SESSION, ALIKE = "equal files", "taken together", "one scene"
"""Why two photos are in one group."""
THUMBNAIL = 32
"""Side of the thumbnails that are compared, pixels."""
_BURST_SECONDS = 2
"""A phone's photos of one class that are no further apart are one burst."""
_PAUSE_SECONDS = 120
"""`edgenet capture` once named photos by their own time; after a longer pause than this, a new session began."""
_CAPTURED = re.compile(r"session-(\d{8}-\d{6})-\d{3,}")
_KEPT = re.compile(r"field-(\d{8}-\d{6}-[0-9a-f]{12})-\d{6,}")
_CAPTURED_BEFORE = re.compile(r"(\d{8})-(\d{6})-\d{3,}")
_PHONE = re.compile(r"(?:[A-Z][A-Z_]*_)?(\d{8})_(\d{6})(?:\d{3})?(?:[_~(. -].*)?")
_ROBOFLOW = re.compile(r"(.+)\.rf\.[0-9A-Za-z]{10,}")
_VIDEO_FRAME = re.compile(r"(.+_(?:mp4|mov|avi|mkv|webm))-\d+(?:_(?:jpg|jpeg|png))?", re.IGNORECASE)


@dataclass(frozen=True)
class Groups:
    """Photos grouped by scene.

    Attributes:
        ids: the group of each photo, 0 to the number of groups less 1, in the order of their first photos; int64 [n].
        links: the pairs of photos that made the groups, as rows (index, larger index), int64 [m, 2].
        reasons: the reason of each link: COPY, SESSION or ALIKE.
    """

    ids: NDArray[np.int64]
    links: NDArray[np.int64]
    reasons: tuple[str, ...]

    @property
    def count(self) -> int:
        """The number of groups."""
        return int(self.ids.max()) + 1 if len(self.ids) else 0

    def shared(self) -> tuple[tuple[int, ...], ...]:
        """Return the photos of every group that has more than one, the largest group first."""
        members: dict[int, list[int]] = {}
        for index, group in enumerate(self.ids.tolist()):
            members.setdefault(group, []).append(index)
        large = sorted(members.values(), key=lambda one: (-len(one), one))
        return tuple(tuple(one) for one in large if len(one) > 1)


def group_photos(
    features: NDArray[np.float32] | None,
    thumbnails: NDArray[np.uint8] | None,
    labels: NDArray[np.int64],
    names: Sequence[str],
    contents: Sequence[Hashable],
) -> Groups:
    """Group the photos that show one scene.

    Photos of different classes are in one group only if their files are equal, or if a third photo connects them.

    Args:
        features: a frozen network's features of each photo, float32 [n, channels]; None uses the thumbnails alone.
        thumbnails: the square that the network sees, uint8 RGB [n, THUMBNAIL, THUMBNAIL, 3]; None groups by names and
            equal files only.
        labels: the class index of each photo, int64 [n].
        names: the name of each photo, as in `PhotoSet`.
        contents: a hash of each photo's file.

    Raises:
        ValueError: the arguments have different lengths.
    """
    given = (features, thumbnails, labels, names, contents)
    if len({len(one) for one in given if one is not None}) != 1:
        raise ValueError("features, thumbnails, labels, names and contents have different lengths")
    links = dict.fromkeys(_chains(contents), COPY)
    for pair in _chains(sessions(names, labels.tolist())):
        links.setdefault(pair, SESSION)
    alike = [] if thumbnails is None else same_scene_pairs(thumbnails, labels, features).tolist()
    for first, second in alike:
        links.setdefault((first, second), ALIKE)
    pairs = np.array(sorted(links), np.int64).reshape(-1, 2)
    return Groups(connected(len(labels), pairs), pairs, tuple(links[pair] for pair in sorted(links)))


def _chains(keys: Sequence[Hashable | None]) -> list[tuple[int, int]]:
    """Return the pairs of each photo and the next one with the same key; None is no key."""
    members: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        if key is not None:
            members.setdefault(key, []).append(index)
    return [pair for same in members.values() for pair in pairwise(same)]


def sessions(names: Sequence[str], labels: Sequence[int]) -> list[Hashable | None]:
    """Return for each photo a key that the photos taken together with it share; None if its name says nothing.

    Args:
        names: the name of each photo, as in `PhotoSet`.
        labels: the class index of each photo; photos of different classes share no key.
    """
    keys: list[Hashable | None] = [None] * len(names)
    timed: dict[tuple[int, int], list[tuple[datetime, int]]] = {}
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        stem = PurePosixPath(name).stem
        if found := _CAPTURED.fullmatch(stem) or _KEPT.fullmatch(stem):
            keys[index] = (label, "session", found[1])
        elif source := _source(stem):
            keys[index] = (label, "source", source)
        elif found := _CAPTURED_BEFORE.fullmatch(stem):
            _add_time(timed, (label, _PAUSE_SECONDS), found, index)
        elif found := _PHONE.fullmatch(stem):
            _add_time(timed, (label, _BURST_SECONDS), found, index)
    for (label, pause), photos in timed.items():
        photos.sort()
        start = photos[0][0]
        for (before, _), (now, index) in pairwise([photos[0], *photos]):
            start = now if (now - before).total_seconds() > pause else start
            keys[index] = (label, pause, start)
    return keys


def _source(stem: str) -> str | None:
    """Return the video or photo that this picture was made from, according to its name, or None."""
    found = _ROBOFLOW.fullmatch(stem)
    original = found[1] if found else stem
    frame = _VIDEO_FRAME.fullmatch(original)
    return frame[1] if frame else (original if found else None)


def _add_time(
    timed: dict[tuple[int, int], list[tuple[datetime, int]]],
    key: tuple[int, int],
    found: re.Match[str],
    index: int,
) -> None:
    try:
        moment = datetime.strptime(found[1] + found[2], "%Y%m%d%H%M%S")
    except ValueError:  # digits that are no date
        return
    timed.setdefault(key, []).append((moment, index))


def leaks(groups: NDArray[np.int64], held_out: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Return (held-out photo, training photo) for every held-out photo that shares its group with a training photo.

    Args:
        groups: the group of each photo of both sides together, as in `Groups.ids` [n].
        held_out: whether each photo is held out [n]; the others are for training.
    """
    training = np.flatnonzero(~held_out)
    first = dict(zip(groups[training[::-1]].tolist(), training[::-1].tolist(), strict=True))
    return tuple(
        (index, first[group])
        for index, group in enumerate(groups.tolist())
        if held_out[index] and group in first
    )


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
_SCALED = tuple(
    (side, step, (side - _PATCH) // step + 1)
    for side, step in ((27, 2), (21, 2), (18, 1), (15, 1), (13, 1), (11, 1))
)
"""Thumbnails of 32 pixels are shrunk to these sides, so that _PATCH pixels show 12, 15, 18, 21, 25 and 29 of the 32.
With each side stand the distance of the windows, pixels, and their number in each direction."""
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
    key = _digest(thumbnails, labels, features)
    if key not in _KNOWN:
        while len(_KNOWN) >= _MOST_KNOWN:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[key] = _find_pairs(thumbnails, labels, features)
    return _KNOWN[key].copy()


_KNOWN: dict[bytes, NDArray[np.int64]] = {}
"""The pairs of the sets that were compared last: a sweep trains many networks on the same photos."""
_MOST_KNOWN = 8


def _digest(*arrays: NDArray[Any] | None) -> bytes:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(None if array is None else (array.shape, array.dtype.str)).encode())
        digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.digest()


def _find_pairs(
    thumbnails: NDArray[np.uint8], labels: NDArray[np.int64], features: NDArray[np.float32] | None
) -> NDArray[np.int64]:
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
        best[rows] = (windows @ wanted.T / lengths[:, None]).max(axis=0).reshape(len(rows), -1).max(axis=1)
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


_CHANNEL_SUMS = np.tile(np.eye(3, dtype=np.float32), (_PATCH**2, 1))
"""A window times this is the sum of each of its channels."""


def _windows(thumbnail: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return all windows of a thumbnail [m, values], and the length of each once it is centred (infinite if flat).

    The windows themselves are not centred, because the templates are: that leaves the scalar products the same.
    """
    found = np.empty((sum(count**2 for _, _, count in _SCALED), _PATCH**2 * 3), np.float32)
    end = 0
    for side, step, count in _SCALED:
        small = cv2.resize(thumbnail, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        down, right, value = small.strides
        # What `sliding_window_view` gives, which takes as long to make a view as copying it takes.
        views = np.lib.stride_tricks.as_strided(
            small, (count, count, _PATCH, _PATCH * 3), (step * down, step * right, down, value)
        )
        start, end = end, end + count**2
        found[start:end].reshape(views.shape)[:] = views
    sums = found @ _CHANNEL_SUMS
    squared = np.einsum("ij,ij->i", found, found) - np.einsum("ij,ij->i", sums, sums) / _PATCH**2
    length = np.sqrt(np.maximum(squared, 0))
    return found, np.where(length > _LEAST_LENGTH, length, np.float32(np.inf))


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
