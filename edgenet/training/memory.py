"""Out of memory: which batch would fit is found by trying, and told."""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgenet.errors import EdgenetError

SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, of OpenCV or of Python says that memory is used up."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def out_of_memory(batch: int, least: int, fits: Callable[[int], bool]) -> EdgenetError:
    """The error that says which batch fits, after trying halves of `batch` until one does.

    Args:
        batch: what did not fit.
        least: the smallest that makes sense.
        fits: tries a training step with so many photos.
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
        "take a variant of less width or a lower resolution",
    )
