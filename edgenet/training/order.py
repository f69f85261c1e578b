"""The order in which an epoch shows the photos, and how the epoch is divided into steps."""

from __future__ import annotations

import numpy as np

from edgenet.training.randomness import Purpose, generator


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
