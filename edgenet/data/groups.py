"""Groups the photos of a set by scene, so that photos of one scene are never on both sides of a split.

Photos belong together if their files are equal, if their names say so (one session of `edgenet capture`, one burst of a
phone, frames of one video, Roboflow's copies of one photo), or if they look like one scene (`data/alike.py`).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edgenet.data.alike import connected, same_scene_pairs

COPY, SESSION, ALIKE = "equal files", "taken together", "one scene"
"""Why two photos are in one group."""
THUMBNAIL = 32
"""Side of the thumbnails that are compared, pixels."""
_BURST_SECONDS = 2
"""A phone's photos of one class that are no further apart are one burst."""
_PAUSE_SECONDS = 120
"""`edgenet capture` once named photos by their own time; after a longer pause than this, a new session began."""
_CAPTURED = re.compile(r"session-(\d{8}-\d{6})-\d{3,}")
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
        if found := _CAPTURED.fullmatch(stem):
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
