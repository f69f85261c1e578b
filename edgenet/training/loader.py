"""Loads an epoch's photos: orders them, augments them at random, and yields them batch by batch.

Threads prepare the next batches while the network computes. All random numbers follow from the seed, the epoch and the
step (see `Purpose`).
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
import torch
from torch import Tensor

from edgenet.training.photos import TrainingPhotos
from edgenet.training.processes import ProcessShare
from edgenet.training.recipe import Augmentation, Recipe

AHEAD = 3
"""The maximum number of batches that wait in the queue."""


@dataclass(frozen=True)
class Batch:
    """One step's photos.

    Attributes:
        step: the step's number in the epoch, from 0.
        pixels: this process's photos, uint8 RGB [n, size, size, 3].
        labels: their class indices, int64 [n].
        photos: the number of photos in this step over all processes.
    """

    step: int
    pixels: Tensor
    labels: Tensor
    photos: int


def load_epoch(
    photos: TrainingPhotos,
    recipe: Recipe,
    epoch: int,
    resolution: int,
    first: int,
    share: ProcessShare,
    pinned: bool = False,
) -> Generator[Batch, None, None]:
    """Yield the batches of one epoch, starting at step `first`. Close the generator to stop its threads.

    For the same photos, recipe, resolution and share, a batch depends only on the epoch and the step.

    Args:
        photos: the training photos.
        recipe: the batch size, the augmentation and the seed.
        epoch: the epoch, from 0.
        resolution: the side of the augmented photos, pixels.
        first: the first step to yield, from 0.
        share: the part of each batch that this process works on.
        pinned: put the photos into pinned memory, from which a CUDA GPU copies them while it computes.

    Raises:
        EdgenetError: while iterating, if a photo that was not kept in memory can no longer be read.
    """
    order = epoch_order(photos.labels, recipe.seed, epoch, recipe.balance)
    steps = batches(order, recipe.batch)
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def produce() -> None:
        try:
            with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
                for step in range(first, len(steps)):
                    rng = generator(recipe.seed, Purpose.AUGMENTATION, epoch, step)
                    draws = draw(rng, len(steps[step])).take(share.rows)
                    mine = steps[step][share.rows]
                    pixels = torch.empty(
                        (len(mine), resolution, resolution, 3), dtype=torch.uint8, pin_memory=pinned
                    )
                    _fill(pixels.numpy(), photos, mine, draws, recipe, pool)
                    labels = torch.from_numpy(photos.labels[mine])
                    labels = labels.pin_memory() if pinned else labels
                    if not _put(ready, Batch(step, pixels, labels, len(steps[step])), stopped):
                        return
            _put(ready, None, stopped)
        except BaseException as error:  # raised again by the consumer below
            _put(ready, error, stopped)

    thread = threading.Thread(target=produce, name="edgenet-photos", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _put(ready: queue.Queue, item: object, stopped: threading.Event) -> bool:
    """Put an item into the queue, waiting for room; return False if the consumer has stopped."""
    while not stopped.is_set():
        with suppress(queue.Full):
            ready.put(item, timeout=0.1)
            return True
    return False


def _fill(
    pixels: np.ndarray,
    photos: TrainingPhotos,
    indices: np.ndarray,
    draws: Draws,
    recipe: Recipe,
    pool: ThreadPoolExecutor,
) -> None:
    """Write the augmented photos into `pixels`, uint8 RGB [n, size, size, 3]; the threads share the work."""

    def fill(rows: np.ndarray) -> None:
        for row in rows:
            augmented(photos.pixels(int(indices[row])), pixels[row], recipe.augmentation, draws, int(row))

    list(pool.map(fill, np.array_split(np.arange(len(indices)), os.cpu_count() or 1)))


def epoch_order(labels: np.ndarray, seed: int, epoch: int, balance: bool) -> np.ndarray:
    """Return the indices of the photos in the order in which an epoch shows them, int64 [n].

    Args:
        labels: the class index of every photo, int64 [n].
        seed: the seed of the training.
        epoch: the epoch, from 0.
        balance: show every class equally often, to within one photo. Photos of small classes then repeat within an
            epoch, and each epoch shows only some photos of the large classes, chosen anew.
    """
    rng = generator(seed, Purpose.ORDER, epoch)
    if not balance:
        return rng.permutation(len(labels))
    classes = np.unique(labels)
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[rng.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    drawn = [
        _repeated(rng, np.flatnonzero(labels == label), share)
        for label, share in zip(classes, shares, strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def _repeated(rng: np.random.Generator, members: np.ndarray, count: int) -> np.ndarray:
    """Return `count` random members; none repeats before all have been used."""
    rounds = [rng.permutation(members) for _ in range(-(-count // len(members)))]
    return np.concatenate([*rounds, members[:0]])[:count]


def batches(order: np.ndarray, batch: int) -> list[np.ndarray]:
    """Divide the order into steps of at most `batch` photos whose sizes differ by at most one.

    Full batches could leave a last step of one photo, from which batch normalization learns nothing.
    """
    return np.array_split(order, steps_per_epoch(len(order), batch))


def steps_per_epoch(photos: int, batch: int) -> int:
    """Return how many steps of at most `batch` photos cover all photos."""
    return -(-photos // batch)


def augmented(bgr: np.ndarray, out: np.ndarray, augmentation: Augmentation, draws: Draws, index: int) -> None:
    """Crop, resize, recolour and mirror one photo at random, and write the result into `out`.

    Brightness, contrast and saturation are each multiplied by a random factor. All colour changes are combined into one
    3x4 matrix, which also converts BGR to RGB.

    Args:
        bgr: the photo, uint8 BGR [height, width, 3].
        out: uint8 RGB [size, size, 3]; it is overwritten.
        augmentation: how strong the changes may be.
        draws: the random numbers of the batch.
        index: the photo's place in `draws`.
    """
    top, left, height, width = crop_of(bgr.shape[:2], augmentation.crop_scale, draws, index)
    size = out.shape[0]
    picture = cv2.resize(
        bgr[top : top + height, left : left + width], (size, size), interpolation=cv2.INTER_LINEAR
    )
    if augmentation.colour:
        picture = cv2.transform(picture, colour_matrix(picture, augmentation.colour, draws, index))
    else:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    mirrored = augmentation.flip and draws.flip[index] < 0.5
    out[:] = picture[:, ::-1] if mirrored else picture


ASPECT = 4 / 3


def crop_of(shape: tuple[int, ...], smallest: float, draws: Draws, index: int) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the crop, in pixels.

    As in Inception (arXiv 1409.4842, section 6), the crop covers a random share of the photo's area and has a random
    aspect ratio between 3/4 and 4/3. A crop that is higher or wider than the photo is shortened to the photo's height
    or width.

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


# ITU-R BT.601's weights of blue, green and red in grey, in OpenCV's channel order.
_GREY = np.array((0.114, 0.587, 0.299))
_TO_RGB = np.eye(3)[::-1]


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


class Purpose(IntEnum):
    """What random numbers are for. How many numbers one purpose draws does not affect any other purpose.

    The generators of each place in a training are made anew from (seed, purpose, epoch, step); none lives on from step
    to step. A training can therefore stop anywhere and resume with the same numbers without saving any generator state,
    and processes that share the work draw the same numbers without communicating.
    """

    ORDER = 1
    AUGMENTATION = 2
    MIXUP = 3
    NETWORK = 4
    WEIGHTS = 5


def generator(seed: int, purpose: Purpose, epoch: int = 0, step: int = 0) -> np.random.Generator:
    """Return the numpy generator for one place in the training."""
    return np.random.default_rng([seed, purpose, epoch, step])


def seed_torch(seed: int, purpose: Purpose, epoch: int = 0, step: int = 0, process: int = 0) -> None:
    """Seed torch's global generators for one place in the training; dropout and new weights draw from them."""
    sequence = np.random.SeedSequence([seed, purpose, epoch, step, process])
    number = int(sequence.generate_state(1, np.uint64)[0] >> 1)
    if torch.cuda.is_initialized() or torch.backends.mps.is_available():
        torch.manual_seed(number)
    else:  # `manual_seed` would note the stack's lines for a GPU that may be used later, which takes a while
        torch.default_generator.manual_seed(number)
