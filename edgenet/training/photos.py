"""The training photos: each is decoded once, checked, shrunk, and kept in memory while the budget lasts."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from edgenet_device.frames.photos import read_photo

from edgenet.data.photos import PhotoSet, open_photos, split_folders
from edgenet.errors import EdgenetError
from edgenet.training.recipe import Augmentation

MARGIN = 1.25
"""Photos are kept this many times larger than the training resolution, so that crops are still detailed enough."""
_CHUNK = 32
_BLOCK = 1024


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

    def pixels(self, index: int) -> np.ndarray:
        """Return one photo, uint8 BGR [height, width, 3]; the pixels are the same from memory as from the file."""
        kept = self._pixels[index]
        return kept if kept is not None else shrink(self.photoset.read(index), self.side)

    def take(self, indices: Sequence[int]) -> TrainingPhotos:
        """Return the photos at these indices, in this order."""
        return replace(
            self,
            photoset=self.photoset.take(indices),
            labels=self.labels[list(indices)],
            contents=tuple(self.contents[i] for i in indices),
            _pixels=tuple(self._pixels[i] for i in indices),
        )


def read_photos(
    photoset: PhotoSet, resolution: int, budget: int, progress: Callable[[int, int], None] | None = None
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
    read: list[_Read | str] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(photoset), _BLOCK):
            stop = min(start + _BLOCK, len(photoset))
            chunks = [range(at, min(at + _CHUNK, stop)) for at in range(start, stop, _CHUNK)]
            for results in pool.map(lambda chunk: [_read(photoset, i, side) for i in chunk], chunks):
                for result in results:
                    used, budget = _within(result, budget)
                    read.append(used)
            if progress is not None:
                progress(stop, len(photoset))
    return _gathered(photoset, read, side)


def shrink(bgr: np.ndarray, side: int) -> np.ndarray:
    """Return the photo with its shorter side reduced to `side` pixels by area averaging, or unchanged if smaller."""
    height, width = bgr.shape[:2]
    factor = side / min(height, width)
    if factor >= 1:
        return bgr
    size = (max(side, round(width * factor)), max(side, round(height * factor)))
    return cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)


def memory_budget() -> int:
    """Return half of the memory that is free now, in bytes; 1 GiB where the system does not report it."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):  # AttributeError: Windows
        return 1 << 30


@dataclass(frozen=True)
class _Read:
    content: bytes
    pixels: np.ndarray | None


def _read(photoset: PhotoSet, index: int, side: int) -> _Read | str:
    """Return one photo, or the reason why it cannot be read."""
    try:
        data = photoset.read_bytes(index)
        return _Read(hashlib.sha256(data).digest(), shrink(read_photo(data, photoset.names[index]), side))
    except EdgenetError as error:
        return str(error)


def _within(result: _Read | str, budget: int) -> tuple[_Read | str, int]:
    if isinstance(result, str) or result.pixels is None:
        return result, budget
    size = result.pixels.nbytes
    return (result, budget - size) if size <= budget else (_Read(result.content, None), budget)


def _gathered(photoset: PhotoSet, read: list[_Read | str], side: int) -> TrainingPhotos:
    good = [(index, result) for index, result in enumerate(read) if isinstance(result, _Read)]
    skipped = [
        (photoset.names[index], reason) for index, reason in enumerate(read) if isinstance(reason, str)
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


# ==== edgenet.training.augment
# Data augmentation: each time a photo is used, it is cropped, resized, mirrored and recoloured at random.
#
# Cropping and resizing follow Inception (arXiv 1409.4842, section 6): the crop covers a random share of the
# photo's area
# and has a random aspect ratio between 3/4 and 4/3. Brightness, contrast and saturation are each multiplied
# by a random
# factor. All colour changes of a photo are combined into one 3x4 matrix, which also converts BGR to RGB.

ASPECT = 4 / 3
# ITU-R BT.601's weights of blue, green and red in grey, in OpenCV's channel order.
_GREY = np.array((0.114, 0.587, 0.299))
_TO_RGB = np.eye(3)[::-1]


@dataclass(frozen=True)
class Draws:
    """The random numbers for one batch: each field is float64 [n] in [0, 1), one number per photo."""

    area: np.ndarray
    aspect: np.ndarray
    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray

    def take(self, rows: slice) -> Draws:
        """Return the numbers for some of the photos."""
        return Draws(**{name: values[rows] for name, values in vars(self).items()})


def draw(rng: np.random.Generator, photos: int) -> Draws:
    """Draw the numbers that decide how `photos` photos are augmented."""
    return Draws(*rng.random((8, photos)))


def augmented(bgr: np.ndarray, out: np.ndarray, augmentation: Augmentation, draws: Draws, index: int) -> None:
    """Augment one photo and write the result into `out`.

    Args:
        bgr: the photo, uint8 BGR [height, width, 3].
        out: uint8 RGB [size, size, 3]; it is overwritten.
        augmentation: how strong the changes may be.
        draws: the random numbers of the batch.
        index: the photo's place in `draws`.
    """
    top, left, height, width = crop_of(bgr.shape[:2], augmentation.crop_scale, draws, index)
    size = out.shape[0]
    seen = cv2.resize(
        bgr[top : top + height, left : left + width], (size, size), interpolation=cv2.INTER_LINEAR
    )
    if augmentation.colour:
        seen = cv2.transform(seen, colour_matrix(seen, augmentation.colour, draws, index))
    else:
        seen = cv2.cvtColor(seen, cv2.COLOR_BGR2RGB)
    mirrored = augmentation.flip and draws.flip[index] < 0.5
    out[:] = seen[:, ::-1] if mirrored else seen


def crop_of(shape: tuple[int, ...], smallest: float, draws: Draws, index: int) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the crop, in pixels.

    A crop that is higher or wider than the photo is shortened to the photo's height or width.

    Args:
        shape: height and width of the photo, pixels.
        smallest: the smallest share of the photo's area that a crop covers.
        draws: the random numbers of the batch.
        index: the photo's place in `draws`.
    """
    area = (smallest + (1 - smallest) * draws.area[index]) * shape[0] * shape[1]
    aspect = ASPECT ** (2 * draws.aspect[index] - 1)
    height = min(max(round((area / aspect) ** 0.5), 1), shape[0])
    width = min(max(round((area * aspect) ** 0.5), 1), shape[1])
    top = int(draws.top[index] * (shape[0] - height + 1))
    left = int(draws.left[index] * (shape[1] - width + 1))
    return top, left, height, width


def colour_matrix(bgr: np.ndarray, strength: float, draws: Draws, index: int) -> np.ndarray:
    """Return the matrix [3,4] that turns (blue, green, red, 1) into RGB with changed colours.

    With factors b (brightness), c (contrast) and s (saturation), and the photo's mean grey g, a pixel x becomes
    b (c (s x + (1 - s) grey(x)) + (1 - c) g).

    Args:
        bgr: the photo, uint8 BGR [height, width, 3].
        strength: each factor lies between 1 - strength and 1 + strength.
        draws: the random numbers of the batch.
        index: the photo's place in `draws`.
    """
    brightness, contrast, saturation = (
        1 + strength * (2 * drawn[index] - 1)
        for drawn in (draws.brightness, draws.contrast, draws.saturation)
    )
    grey = float(_GREY @ cv2.mean(bgr)[:3])
    colours = saturation * _TO_RGB + (1 - saturation) * _GREY
    offset = np.full((3, 1), brightness * (1 - contrast) * grey)
    return np.hstack([brightness * contrast * colours, offset])


# ==== edgenet.training.splits
# Splits the photos into training and validation: by the data's split folders, else by holding out some per
# class.

TRAINING = ("train", "training")
VALIDATION = ("val", "valid", "validation", "test", "testing")
"""In order of preference: a test split is used only if there is no validation split."""


@dataclass(frozen=True)
class OpenedSplits:
    """The photos of a training.

    Attributes:
        training: the photos to train with. If `validation` is None, some of them must be held out.
        validation: the data's own validation split; None if there is none.
    """

    training: PhotoSet
    validation: PhotoSet | None


def open_training_data(path: Path) -> OpenedSplits:
    """Open the labelled photos in a folder or a zip.

    Raises:
        EdgenetError: there are no class folders or only one class, no split is for training, or the classes of the
            splits differ.
    """
    folders = split_folders(path)
    training_part = _first(folders, TRAINING)
    if folders and training_part is None:
        raise EdgenetError(
            f"{path} has the split {', '.join(folders)} and none to train with", "name that folder 'train'"
        )
    training = _labelled(path, training_part)
    part = _first(folders, VALIDATION)
    if part is None:
        return OpenedSplits(training, None)
    validation = _labelled(path, part)
    if validation.class_names != training.class_names:
        raise _other_classes(path, training, validation)
    return OpenedSplits(training, validation)


def hold_out(
    labels: Sequence[int], contents: Sequence[bytes], share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Return the indices to train with and the indices held out, both rising.

    The same share of every class is held out, at least one photo. The choice depends on the photos' contents and the
    seed, not on their names. Copies of a photo within a class all land on the same side. If a class has only copies of
    one photo, none is held out.

    Args:
        labels: the class index of every photo.
        contents: a hash of every photo's file.
        share: the share of each class to hold out, between 0 and 1.
        seed: the seed of the training.

    Raises:
        EdgenetError: the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise EdgenetError(f"the share to hold out is {share:g}", "give one between 0 and 1, such as 0.1")
    by_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    held: set[int] = set()
    for members in by_class.values():
        held |= _held_of(members, contents, share, seed)
    kept = [index for index in range(len(labels)) if index not in held]
    return kept, sorted(held)


def _held_of(members: list[int], contents: Sequence[bytes], share: float, seed: int) -> set[int]:
    def key(index: int) -> bytes:
        return hashlib.sha256(seed.to_bytes(8, "little") + contents[index]).digest()

    groups: dict[bytes, list[int]] = {}
    for index in sorted(members, key=key):
        groups.setdefault(contents[index], []).append(index)
    wanted = max(1, round(share * len(members)))
    held: set[int] = set()
    for group in list(groups.values())[:-1]:  # keep the last photo for training
        if len(held) >= wanted:
            break
        held.update(group)
    return held


def _labelled(path: Path, split: str | None) -> PhotoSet:
    photos = open_photos(path, split=split)
    if any(label is None for label in photos.labels):
        raise EdgenetError(
            f"the photos in {path} have no labels", "put the photos of each class into a folder of its own"
        )
    if len(set(photos.labels)) < 2:
        raise EdgenetError(f"{path} has only one class", "give a folder for each of at least two classes")
    return photos


def _first(folders: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {folder.lower(): folder for folder in folders}
    return next((lower[name] for name in names if name in lower), None)


def _other_classes(path: Path, training: PhotoSet, validation: PhotoSet) -> EdgenetError:
    ours, theirs = set(training.class_names), set(validation.class_names)
    lacking = [f"{name} is missing in {validation.split}" for name in sorted(ours - theirs)]
    lacking += [f"{name} is missing in {training.split}" for name in sorted(theirs - ours)]
    some = "; ".join(lacking[:3]) or "their numbers differ"
    return EdgenetError(
        f"the classes of {training.split} and {validation.split} in {path} differ: {some}",
        "give both the same class folders",
    )
