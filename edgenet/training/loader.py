"""Loads an epoch's photos batch by batch. Threads prepare the next batches while the network computes."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgenet.training.augment import Draws, augmented, draw
from edgenet.training.order import batches, epoch_order
from edgenet.training.photos import TrainingPhotos
from edgenet.training.randomness import Purpose, generator
from edgenet.training.recipe import Recipe

AHEAD = 3
"""The maximum number of batches that wait in the queue."""


@dataclass(frozen=True)
class Share:
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
    photos: TrainingPhotos, recipe: Recipe, epoch: int, resolution: int, first: int, share: Share
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
