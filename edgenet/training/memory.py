"""Handles running out of memory: finds, by trying, a batch size that fits, and names it in the error."""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgenet.errors import EdgenetError

SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error from torch, OpenCV or Python means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def out_of_memory(batch: int, least: int, fits: Callable[[int], bool]) -> EdgenetError:
    """Return an error that names a batch size that fits; `batch` is halved until one does.

    Args:
        batch: the batch size that did not fit.
        least: the smallest useful batch size.
        fits: tries a training step with so many photos and returns whether it fits.
    """
    smaller = batch // 2
    while smaller >= least:
        if fits(smaller):
            return EdgenetError(
                f"there is not enough memory for a batch of {batch}", f"give --batch {smaller}, which fits"
            )
        smaller //= 2
    return EdgenetError(
        f"there is not enough memory for a batch of {batch}, nor for one of {least}",
        "choose a variant with a smaller width or a lower resolution",
    )
