"""Fix the number of threads that float sums are split among while ranges are observed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

TORCH_THREADS = 2


@contextmanager
def fixed_torch_threads() -> Iterator[None]:
    """Run the block with the same number of torch threads on every machine, to make the file reproducible.

    The way torch splits float sums among threads changes their last bits, and with them the ranges. So a
    machine with more cores would give another file.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(TORCH_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
