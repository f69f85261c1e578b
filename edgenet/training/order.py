"""In which order photos are seen, and how an epoch is cut into steps."""

from __future__ import annotations

import numpy as np

from edgenet.training.randomness import Purpose, generator


def steps_per_epoch(photos: int, batch: int) -> int:
    """How many steps of at most `batch` photos see all of them."""
    return -(-photos // batch)


def epoch_order(labels: np.ndarray, seed: int, epoch: int, balance: bool) -> np.ndarray:
    """Indices of the photos in the order in which an epoch shows them, as many as there are photos.

    Args:
        labels: the class index of every photo [n].
        balance: show every class equally often (to one photo); a small class's photos then come several times, and of a
            large one's only some, others in every epoch.
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
    """`count` of the members, none twice before all were there."""
    rounds = [rng.permutation(members) for _ in range(-(-count // len(members)))]
    return np.concatenate([*rounds, members[:0]])[:count]


def batches(order: np.ndarray, batch: int) -> list[np.ndarray]:
    """The order cut into steps whose sizes differ by at most one photo.

    A rest of one photo would be a step of its own, from which batch normalization learns nothing.
    """
    return np.array_split(order, steps_per_epoch(len(order), batch))
