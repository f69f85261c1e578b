"""Loads an epoch's photos batch by batch. Threads prepare the next batches while the network computes."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from edgenet.training.photos import Draws, TrainingPhotos, augmented, draw
from edgenet.training.recipe import Recipe

AHEAD = 3
"""The maximum number of batches that wait in the queue."""


@dataclass(frozen=True)
class ProcessShare:
    """The part of every batch that this process works on.

    Attributes:
        process: the number of this process, from 0.
        processes: the number of processes.
    """

    process: int = 0
    processes: int = 1

    @property
    def rows(self) -> slice:
        """The rows of a batch that belong to this process."""
        return slice(self.process, None, self.processes)


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
    photos: TrainingPhotos, recipe: Recipe, epoch: int, resolution: int, first: int, share: ProcessShare
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
                    pixels = _pixels(photos, mine, draws, recipe, resolution, pool)
                    labels = torch.from_numpy(photos.labels[mine])
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


def _pixels(
    photos: TrainingPhotos,
    indices: np.ndarray,
    draws: Draws,
    recipe: Recipe,
    resolution: int,
    pool: ThreadPoolExecutor,
) -> Tensor:
    """Return the augmented photos, uint8 RGB [n, resolution, resolution, 3]; the threads share the work."""
    pixels = np.empty((len(indices), resolution, resolution, 3), np.uint8)

    def fill(rows: np.ndarray) -> None:
        for row in rows:
            augmented(photos.pixels(int(indices[row])), pixels[row], recipe.augmentation, draws, int(row))

    list(pool.map(fill, np.array_split(np.arange(len(indices)), os.cpu_count() or 1)))
    return torch.from_numpy(pixels)


# ==== edgenet.training.order
# The order in which an epoch shows the photos, and how the epoch is divided into steps.


def steps_per_epoch(photos: int, batch: int) -> int:
    """Return how many steps of at most `batch` photos cover all photos."""
    return -(-photos // batch)


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


# ==== edgenet.training.randomness
# Random number generators for each place in a training, made anew from (seed, purpose, epoch, step).
#
# No generator lives on from step to step. A training can therefore stop anywhere and resume with the same
# numbers without
# saving any generator state, and processes that share the work draw the same numbers without communicating.


class Purpose(IntEnum):
    """What random numbers are for. How many numbers one purpose draws does not affect any other purpose."""

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
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
