"""The number of threads that float sums are split among while ranges are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

TORCH_THREADS = 2


@contextmanager
def fixed_torch_threads() -> Iterator[None]:
    """Gives torch the same number of threads everywhere: how it splits float sums among them changes their last bits,
    and with them the ranges, so that the same input would give another file on a machine with more cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(TORCH_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
