"""The photos of an epoch, batch by batch, prepared by threads while the network computes."""

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
"""Batches that are ready before they are asked for, at most."""


@dataclass(frozen=True)
class Share:
    """Which part of every batch this process takes, of how many processes."""

    process: int = 0
    processes: int = 1

    @property
    def rows(self) -> slice:
        """The rows of a batch that are this process's."""
        return slice(self.process, None, self.processes)


@dataclass(frozen=True)
class Batch:
    """One step's photos.

    Attributes:
        step: its number in the epoch.
        pixels: uint8 RGB [n, size, size, 3].
        labels: int64 [n].
        photos: how many the step has in all processes together.
    """

    step: int
    pixels: Tensor
    labels: Tensor
    photos: int


def load_epoch(
    photos: TrainingPhotos, recipe: Recipe, epoch: int, resolution: int, first: int, share: Share
) -> Generator[Batch, None, None]:
    """The batches of one epoch from step `first` on; close the iterator to stop the threads.

    What a batch holds depends on the recipe's seed, the epoch and the step alone.

    Raises:
        EdgenetError: while iterating: a photo that was not kept in memory cannot be read any more.
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
        except BaseException as error:  # told where the batches are taken
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
    """Waits for room; False where nobody takes batches any more."""
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
    """The photos augmented, uint8 RGB [n, resolution, resolution, 3]; each thread takes a stretch of them."""
    pixels = np.empty((len(indices), resolution, resolution, 3), np.uint8)

    def fill(rows: np.ndarray) -> None:
        for row in rows:
            augmented(photos.pixels(int(indices[row])), pixels[row], recipe.augmentation, draws, int(row))

    list(pool.map(fill, np.array_split(np.arange(len(indices)), os.cpu_count() or 1)))
    return torch.from_numpy(pixels)
