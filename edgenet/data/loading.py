"""Decodes and preprocesses many photos in threads and in a fixed order, all at once or batch by batch."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from edgenet_device.preprocess import prepare

from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError

Progress = Callable[[int, int], None]
"""Called with the number of photos done and the number of all photos."""
BATCH = 64
LOAD_ALL_BATCH = 16
"""The batch size of `load_all`: at most so many photos are in memory twice while it copies them."""


@dataclass(frozen=True)
class Loaded:
    """Photos in the form that a network takes.

    Attributes:
        images: uint8 RGB [n, size, size, 3].
        labels: the class index of each photo; None for a photo without a label.
        names: the name of each photo.
        skipped: (name, reason) of the photos that could not be read; they are left out of the other fields.
    """

    images: np.ndarray
    labels: tuple[int | None, ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.names)


def load_all(
    photoset: PhotoSet, size: int, *, limit: int | None = None, progress: Progress | None = None
) -> Loaded:
    """Return all photos of a set at once, in the set's order. A photo of 224 pixels takes 150 kB.

    Args:
        photoset: the photos.
        size: side of the network's square input, pixels.
        limit: the number of photos to use, spread evenly over the set so that every class has its share; None uses all.
        progress: called after every batch.

    Raises:
        EdgenetError: none of the photos can be read, or `limit` is less than 1.
    """
    asked = len(photoset) if limit is None else min(limit, len(photoset))
    # Each batch is copied in as it arrives: joining them at the end would need twice the memory.
    images = np.empty((max(asked, 0), size, size, 3), np.uint8)
    labels: list[int | None] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    for batch in load_batches(photoset, size, batch=LOAD_ALL_BATCH, limit=limit, progress=progress):
        images[len(names) : len(names) + len(batch)] = batch.images
        labels += batch.labels
        names += batch.names
        skipped += batch.skipped
    return Loaded(images[: len(names)], tuple(labels), tuple(names), tuple(skipped))


def load_batches(
    photoset: PhotoSet,
    size: int,
    *,
    batch: int = BATCH,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Loaded]:
    """Yield the photos of a set in the set's order, `batch` at a time, or fewer if some cannot be read.

    Only one batch is in memory. While the caller works on it, nothing is decoded, because the caller needs the cores.

    Args:
        photoset: the photos.
        size: side of the network's square input, pixels.
        batch: the number of photos per batch.
        limit: the number of photos to use, spread evenly over the set; None uses all.
        progress: called after every batch.

    Raises:
        EdgenetError: while iterating: `limit` is less than 1, or, at the end, none of the photos could be read.
    """
    if limit is not None:
        photoset = photoset.take(evenly(len(photoset), limit))
    read, first_reason = 0, ""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(photoset), batch):
            indices = range(start, min(start + batch, len(photoset)))
            loaded = _gather(photoset, size, indices, pool)
            if progress is not None:
                progress(indices.stop, len(photoset))
            read += len(loaded)
            if loaded.skipped and not first_reason:
                first_reason = loaded.skipped[0][1]
            yield loaded
    if not read:
        raise EdgenetError(
            f"none of the {len(photoset)} photos in {photoset.origin} can be read: {first_reason}",
            "give other photos",
        )


def _gather(photoset: PhotoSet, size: int, indices: range, pool: ThreadPoolExecutor) -> Loaded:
    results = list(pool.map(lambda index: _load_one(photoset, size, index), indices))
    good = [
        (index, result) for index, result in zip(indices, results, strict=True) if not isinstance(result, str)
    ]
    return Loaded(
        images=np.concatenate([np.empty((0, size, size, 3), np.uint8), *(image for _, image in good)]),
        labels=tuple(photoset.labels[index] for index, _ in good),
        names=tuple(photoset.names[index] for index, _ in good),
        skipped=tuple(
            (photoset.names[index], reason)
            for index, reason in zip(indices, results, strict=True)
            if isinstance(reason, str)
        ),
    )


def _load_one(photoset: PhotoSet, size: int, index: int) -> np.ndarray | str:
    """Return one photo, uint8 RGB [1, size, size, 3], or the reason why it cannot be read."""
    try:
        return prepare(photoset.read(index), size)
    except EdgenetError as error:
        return str(error)


# ==== edgenet.data.choose
# Chooses photos by their contents: the names and the order of the photos do not change the choice.


def evenly(total: int, n: int) -> list[int]:
    """Return `n` of the indices below `total`, rising and evenly spread, or all of them if `total` is at most `n`.

    Raises:
        EdgenetError: `n` is less than 1.
    """
    if n < 1:
        raise EdgenetError(f"asked for {n} photos", "ask for at least 1")
    return [position * total // n for position in range(n)] if n < total else list(range(total))


@dataclass(frozen=True)
class Choice:
    """The result of a choice.

    Attributes:
        photos: the chosen photos, followed by the spare ones.
        repeats: the number of files in the set that repeat the contents of an earlier file.
    """

    photos: PhotoSet
    repeats: int


def choose(photoset: PhotoSet, n: int, *, progress: Callable[[int, int], None] | None = None) -> PhotoSet:
    """Return `n` different photos of a set, in an order that depends only on their contents.

    Sorting by SHA-256 shuffles the photos independently of their names and folders. In that order, every (len / n)-th
    photo is taken. Files with equal contents count once. If the set has at most `n` different photos, all are taken.

    Args:
        photoset: the photos; every file is read.
        n: the number of photos to choose.
        progress: called with the number of files read and the number of all files.

    Raises:
        EdgenetError: `n` is less than 1, or a file cannot be read.
    """
    return choose_with_spare(photoset, n, 0, progress=progress).photos


def choose_with_spare(
    photoset: PhotoSet, n: int, spare: int, *, progress: Callable[[int, int], None] | None = None
) -> Choice:
    """Return the photos that `choose` takes, followed by up to `spare` others.

    The spare photos are chosen from the remaining different photos in the same evenly spread way.

    Raises:
        EdgenetError: `n` is less than 1, or a file cannot be read.
    """
    first_with: dict[bytes, int] = {}
    for index, content in enumerate(content_hashes(photoset, progress)):
        first_with.setdefault(content, index)
    ordered = [first_with[content] for content in sorted(first_with)]
    chosen = evenly(len(ordered), n)
    left = sorted(set(range(len(ordered))) - set(chosen))
    beside = [left[i] for i in evenly(len(left), spare)] if spare else []
    photos = photoset.take([ordered[i] for i in chosen + beside])
    return Choice(photos, len(photoset) - len(ordered))


def digest(photoset: PhotoSet) -> str:
    """Return a SHA-256 over the contents of a set's files, as 64 hexadecimal digits.

    It is the SHA-256 of the sorted SHA-256 values of the files, 32 bytes each, so names and order do not matter.

    Raises:
        EdgenetError: a file cannot be read.
    """
    return hashlib.sha256(b"".join(sorted(content_hashes(photoset)))).hexdigest()


def content_hashes(photoset: PhotoSet, progress: Callable[[int, int], None] | None = None) -> list[bytes]:
    """Return the SHA-256 of every file of a set, 32 bytes each, in the set's order.

    Raises:
        EdgenetError: a file cannot be read.
    """
    hashes: list[bytes] = []
    # Threads help because hashing and reading release the global interpreter lock.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for content in pool.map(
            lambda i: hashlib.sha256(photoset.read_bytes(i)).digest(), range(len(photoset))
        ):
            hashes.append(content)
            if progress is not None and (len(hashes) % 64 == 0 or len(hashes) == len(photoset)):
                progress(len(hashes), len(photoset))
    return hashes


# ==== edgenet.data.matching
# Matches the outputs of a network to the classes of a photo set, or to the outputs of another network.

BACKGROUND = "background"
"""The first of the 1,001 labels of TF-slim's networks; no photo has this label."""


def outputs_for(
    class_names: Sequence[str], used: set[int], labels: Sequence[str], where: str
) -> dict[int, int]:
    """Return the network's output for every class index that the photos use.

    Three ways are tried in this order:

    1. By index, if at least nine of ten known names agree with the labels at those outputs. Not all need to agree,
       because ImageNet's names are spelled in several ways and some occur twice.
    2. By name, if every name occurs exactly once among the labels.
    3. By index, if nothing contradicts it: no name is known, or there are as many classes as outputs and no name
       belongs to another output.

    By index means that the output is the class index, plus one if the network's first output is "background".

    Args:
        class_names: the photo set's class names; "" for unknown ones.
        used: the class indices that occur.
        labels: the network's labels, one per output.
        where: the photo set's name for error messages.

    Raises:
        EdgenetError: none of the ways fits.
    """
    indices = sorted(used)
    names = [class_names[index] for index in indices]
    shift = _background_offset(labels)
    numbered = [index + shift for index in indices]
    by_name = _by_name(names, labels)
    in_range = numbered[-1] < len(labels)
    same_count = len(class_names) == len(labels) - shift
    if in_range and _names_agree(names, [labels[output] for output in numbered]):
        return dict(zip(indices, numbered, strict=True))
    if None not in by_name:
        return {index: output for index, output in zip(indices, by_name, strict=True) if output is not None}
    if in_range and (not any(names) or (same_count and not _names_contradict(by_name, numbered))):
        return dict(zip(indices, numbered, strict=True))
    raise _unmatched(class_names, used, labels, where)


def corresponding(labels: Sequence[str], others: Sequence[str]) -> list[int | None]:
    """Return, for every output of a network, the output of another network for the same class, or None.

    Networks with equal numbers of classes, not counting "background", are matched by position unless their labels
    contradict that. Networks with different numbers of classes are matched by label.

    Args:
        labels: the network's labels, one per output.
        others: the other network's labels, one per output.
    """
    shift, other_shift = _background_offset(labels), _background_offset(others)
    background: list[int | None] = [0 if other_shift else None] * shift
    by_name = _by_name(labels[shift:], others)
    numbered = list(range(other_shift, len(others)))
    same_count = len(by_name) == len(numbered)
    if same_count and (
        _names_agree(labels[shift:], others[other_shift:]) or not _names_contradict(by_name, numbered)
    ):
        return [*background, *numbered]
    return background + by_name


def _by_name(names: Sequence[str], labels: Sequence[str]) -> list[int | None]:
    """Return the index of every name among the labels; None for a name that is missing or occurs several times."""
    counts = Counter(map(_plain, labels))
    position = {_plain(label): index for index, label in enumerate(labels)}
    return [position[_plain(name)] if counts[_plain(name)] == 1 else None for name in names]


def _names_agree(names: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether at least nine of ten known names equal the labels at the same places."""
    agree = [_plain(name) == _plain(label) for name, label in zip(names, labels, strict=True) if name]
    return bool(agree) and sum(agree) >= 0.9 * len(agree)


def _names_contradict(by_name: Sequence[int | None], numbered: Sequence[int]) -> bool:
    """Return whether a name was found at another output than the numbering gives."""
    return any(found not in (None, at) for found, at in zip(by_name, numbered, strict=True))


def _background_offset(labels: Sequence[str]) -> int:
    return 1 if labels and _plain(labels[0]) == BACKGROUND else 0


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").strip()


def _unmatched(class_names: Sequence[str], used: set[int], labels: Sequence[str], where: str) -> EdgenetError:
    found = f"{where} has {len(class_names)} classes and the network has {len(labels)} outputs"
    known = Counter(map(_plain, labels))
    named = [class_names[index] for index in sorted(used) if class_names[index]]
    missing = [name for name in named if not known[_plain(name)]]
    ambiguous = [name for name in named if known[_plain(name)] > 1]
    if missing:
        found += f"; not among its labels: {_some(missing)}"
    elif ambiguous:
        found += f"; several of its outputs are called {_some(ambiguous)}"
    return EdgenetError(found, "give the classes the names of the network's labels")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
