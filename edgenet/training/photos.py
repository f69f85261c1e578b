"""The photos of a training: split into training and validation photos, decoded once, and checked class by class.

The data's split folders decide the split; without them, some photos of every class are held out. Each training photo is
shrunk and kept in memory while the budget lasts.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import prepare
from numpy.typing import NDArray

from edgenet.data.folders import split_kind
from edgenet.data.groups import THUMBNAIL, group_photos
from edgenet.data.photos import PhotoSet, open_photos, require_labels, split_folders
from edgenet.data.splits import one_scene_classes
from edgenet.errors import EdgenetError
from edgenet.progress import StageProgress


@dataclass(frozen=True)
class SplitPhotos:
    """The photos of a training.

    Attributes:
        training: the photos to train with. If `validation` is None, some of them must be held out.
        validation: the data's own validation split; None if there is none.
    """

    training: PhotoSet
    validation: PhotoSet | None


def open_training_data(path: Path) -> SplitPhotos:
    """Open the labelled photos in a folder or a zip.

    A test split is used only if there is no validation split and its photos have labels; in many competitions they
    have none.

    Raises:
        EdgenetError: there are no class folders or only one class, no split is for training, or the classes of the
            splits differ; see also `require_labels`.
    """
    folders = split_folders(path)
    training_part = next(iter(_of_kind(folders, "train")), None)
    if folders and training_part is None:
        raise EdgenetError(
            f"{path} has the split {', '.join(folders)} and none to train with", "name that folder 'train'"
        )
    training = _labelled(path, open_photos(path, split=training_part))
    validation = _validation(path, folders)
    if validation is None:
        return SplitPhotos(training, None)
    if validation.class_names != training.class_names:
        raise _other_classes(path, training, validation)
    return SplitPhotos(training, validation)


def _of_kind(folders: Sequence[str], kind: str) -> list[str]:
    """Return the split folders of a kind; those whose name is a single word, the shortest, come first."""
    return sorted(
        (folder for folder in folders if split_kind(folder) == kind), key=lambda name: (len(name), name)
    )


def _validation(path: Path, folders: Sequence[str]) -> PhotoSet | None:
    for part in _of_kind(folders, "val"):
        return _labelled(path, open_photos(path, split=part))
    for part in _of_kind(folders, "test"):
        photos = open_photos(path, split=part)
        if any(label is not None for label in photos.labels):
            return _labelled(path, photos)
    return None


def _labelled(path: Path, photos: PhotoSet) -> PhotoSet:
    require_labels(
        photos, "put the photos of each class into a folder of its own, or list them in a labels.csv"
    )
    # A labels.csv may give class indices without names.
    names = tuple(name or str(index) for index, name in enumerate(photos.class_names))
    photos = replace(photos, class_names=names)
    if len(set(photos.labels)) < 2:
        raise EdgenetError(f"{path} has only one class", "give a folder for each of at least two classes")
    return photos


def _other_classes(path: Path, training: PhotoSet, validation: PhotoSet) -> EdgenetError:
    ours, theirs = set(training.class_names), set(validation.class_names)
    lacking = [f"{name} is missing in {validation.split}" for name in sorted(ours - theirs)]
    lacking += [f"{name} is missing in {training.split}" for name in sorted(theirs - ours)]
    some = "; ".join(lacking[:3]) or "their numbers differ"
    return EdgenetError(
        f"the classes of {training.split} and {validation.split} in {path} differ: {some}",
        "give both the same class folders",
    )


MARGIN = 1.25
"""Photos are kept this many times larger than the training resolution, so that crops are still detailed enough."""


@dataclass(frozen=True)
class TrainingPhotos:
    """The readable photos, shrunk.

    Attributes:
        photoset: the files of these photos.
        labels: the class index of each photo, int64 [n].
        contents: the SHA-256 of each file, 32 bytes.
        skipped: (name, reason) of the photos that could not be read; they are left out of the other fields.
        side: the length that a longer shorter side of a photo is reduced to, pixels.
    """

    photoset: PhotoSet
    labels: np.ndarray
    contents: tuple[bytes, ...]
    skipped: tuple[tuple[str, str], ...]
    side: int
    _pixels: tuple[np.ndarray | None, ...]

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def in_memory(self) -> int:
        """The number of photos kept in memory; the others are decoded at each use."""
        return sum(pixels is not None for pixels in self._pixels)

    def is_in_memory(self, index: int) -> bool:
        """Return whether a photo is kept in memory."""
        return self._pixels[index] is not None

    def pixels(self, index: int) -> np.ndarray:
        """Return one photo, uint8 BGR [height, width, 3]; the pixels are the same from memory as from the file."""
        kept = self._pixels[index]
        if kept is not None:
            return kept
        return read_shrunk(self.photoset.read_bytes(index), self.photoset.names[index], self.side)

    def take(self, indices: Sequence[int]) -> TrainingPhotos:
        """Return the photos at these indices, in this order."""
        return replace(
            self,
            photoset=self.photoset.take(indices),
            labels=self.labels[list(indices)],
            contents=tuple(self.contents[i] for i in indices),
            _pixels=tuple(self._pixels[i] for i in indices),
        )


MOST_COMPARED = 5000
"""Photos are compared by their looks only in sets of at most so many: a pair of photos takes about 2 ms."""


def scenes(photos: TrainingPhotos) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return the scene of each photo, int64 [n], and the classes whose photos are all of one scene.

    Photos of one scene must be on one side of a split, but some of every class must be held out. So if all photos of a
    class look like one scene, only their names and equal files part them; and if those say that all belong together,
    each file counts as a scene of its own.
    """
    names, labels = photos.photoset.names, photos.labels
    by_name = group_photos(None, None, labels, names, photos.contents).ids
    ids = by_name
    if len(photos) <= MOST_COMPARED:
        ids = group_photos(None, thumbnails(photos), labels, names, photos.contents).ids
    files = np.unique(photos.contents, return_inverse=True)[1]
    single = []
    for label in one_scene_classes(labels, ids):
        rows = np.flatnonzero(labels == label)
        parts, different = len(set(by_name[rows])), len(set(files[rows]))
        ids[rows] = len(photos) + (by_name[rows] if 1 < parts < different else len(photos) + files[rows])
        if not 1 < parts < different:
            single.append(label)
    return ids, tuple(single)


def thumbnails(photos: TrainingPhotos) -> NDArray[np.uint8]:
    """Return the square of each photo that the network sees, uint8 RGB [n, THUMBNAIL, THUMBNAIL, 3]."""
    return np.concatenate([prepare(photos.pixels(index), THUMBNAIL) for index in range(len(photos))])


# A thread decodes a chunk at a time; progress is reported after every block.
_CHUNK = 32
_BLOCK = 1024


def read_photos(
    photoset: PhotoSet, resolution: int, budget: int, progress: StageProgress | None = None
) -> TrainingPhotos:
    """Decode every photo once and keep as many as the budget allows.

    Args:
        photoset: the photos; all must have labels.
        resolution: the training resolution, pixels.
        budget: bytes for photos in memory; photos beyond it are decoded at each use.
        progress: called with the number of photos done and the number of all photos.

    Raises:
        EdgenetError: none of the photos can be read.
    """
    side = math.ceil(MARGIN * resolution)
    results: list[_DecodedPhoto | str] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(photoset), _BLOCK):
            stop = min(start + _BLOCK, len(photoset))
            chunks = [range(at, min(at + _CHUNK, stop)) for at in range(start, stop, _CHUNK)]
            for decoded in pool.map(lambda chunk: [_read(photoset, i, side) for i in chunk], chunks):
                for result in decoded:
                    kept, budget = _within(result, budget)
                    results.append(kept)
            if progress is not None:
                progress(stop, len(photoset))
    return _gather(photoset, results, side)


def _read(photoset: PhotoSet, index: int, side: int) -> _DecodedPhoto | str:
    """Return one photo, or the reason why it cannot be read."""
    try:
        data = photoset.read_bytes(index)
        return _DecodedPhoto(hashlib.sha256(data).digest(), read_shrunk(data, photoset.names[index], side))
    except EdgenetError as error:
        return str(error)


DECODED = 2
"""JPEGs are decoded at the smallest scale that leaves the shorter side this many times longer than it is kept.

The rest of the way is area averaging, by at least 2, so that the pixels differ from those of a full decoding by less
than one level of 255 on average. A 12-megapixel JPEG for 96 pixels takes 30 ms instead of 47 at the device's scale and
114 in full (one core; libjpeg must still unpack the whole file).
"""


def read_shrunk(data: bytes, name: str, side: int) -> np.ndarray:
    """Decode the bytes of a photo's file and shrink it for training: uint8 BGR [height, width, 3].

    Only training reads photos in this way. Validation and calibration must see exactly what the device sees.

    Args:
        data: the bytes of the file.
        name: the photo's name, for error messages.
        side: the length that a longer shorter side is reduced to, pixels.

    Raises:
        EdgenetError: see `read_photo`.
    """
    return shrink(read_photo(data, name, DECODED * side), side)


def shrink(bgr: np.ndarray, side: int) -> np.ndarray:
    """Return the photo with its shorter side reduced to `side` pixels by area averaging, or unchanged if smaller."""
    height, width = bgr.shape[:2]
    factor = side / min(height, width)
    if factor >= 1:
        return bgr
    size = (max(side, round(width * factor)), max(side, round(height * factor)))
    return cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)


def _within(result: _DecodedPhoto | str, budget: int) -> tuple[_DecodedPhoto | str, int]:
    """Return the photo, without its pixels if they exceed the budget, and the budget that is left."""
    if isinstance(result, str) or result.pixels is None:
        return result, budget
    size = result.pixels.nbytes
    return (result, budget - size) if size <= budget else (_DecodedPhoto(result.content, None), budget)


def _gather(photoset: PhotoSet, results: list[_DecodedPhoto | str], side: int) -> TrainingPhotos:
    good = [(index, result) for index, result in enumerate(results) if isinstance(result, _DecodedPhoto)]
    skipped = [
        (photoset.names[index], reason) for index, reason in enumerate(results) if isinstance(reason, str)
    ]
    if not good:
        reason = skipped[0][1] if skipped else "there are none"
        raise EdgenetError(
            f"none of the {len(photoset)} photos in {photoset.origin} can be read: {reason}",
            "give other photos",
        )
    kept = photoset.take([index for index, _ in good])
    return TrainingPhotos(
        photoset=kept,
        labels=np.array(kept.labels, np.int64),
        contents=tuple(result.content for _, result in good),
        skipped=tuple(skipped),
        side=side,
        _pixels=tuple(result.pixels for _, result in good),
    )


@dataclass(frozen=True)
class _DecodedPhoto:
    """One photo's file hash, and its shrunk pixels unless they did not fit into memory."""

    content: bytes
    pixels: np.ndarray | None


def photo_counts(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    """Return the number of photos of each class.

    Args:
        labels: the class index of every photo, int64 [n].
        classes: the number of classes.
    """
    return tuple(int(n) for n in np.bincount(labels, minlength=classes))


def check_counts(counts: Sequence[int], names: Sequence[str], unreadable: Sequence[str], least: int) -> None:
    """Check that every class has enough photos.

    Args:
        counts: the number of readable photos of each class.
        names: the class names, which are also the names of the folders.
        unreadable: the names of the photos that could not be read.
        least: the number of photos that each class needs.

    Raises:
        EdgenetError: a class has fewer than `least` photos.
    """
    for count, name in zip(counts, names, strict=True):
        if count < least:
            lost = sum(photo.startswith(f"{name}/") for photo in unreadable)
            shortage = "has no photo" if count == 0 else f"has only {count} photo{'s' * (count != 1)}"
            because = f" that can be read ({lost} cannot)" if lost else ""
            why = "one to train with and one to validate with" if least == 2 else "to train with"
            raise EdgenetError(
                f"the class {name} {shortage}{because}",
                f"a class needs at least {least}, {why}; a hundred is a good beginning",
            )


UNEQUAL = 3.0
"""A training warns if the largest class has at least this many times the photos of the smallest."""


def imbalance_warning(counts: Sequence[int], names: Sequence[str], balanced: bool) -> str | None:
    """Return a warning if the class sizes are very unequal (see `UNEQUAL`), else None.

    Args:
        counts: the number of photos of each class.
        names: the class names.
        balanced: whether the training shows every class equally often.
    """
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] < UNEQUAL * counts[least]:
        return None
    sizes = (
        f"the classes are unequal: {counts[most]} photos of {names[most]}, {counts[least]} of {names[least]}"
    )
    if balanced:
        return f"{sizes}; every class is shown equally often"
    return f"{sizes}; the network will favour the large ones (--balance shows every class equally often)"
