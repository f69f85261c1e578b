"""How a command makes its process ready for torch and the like: they are imported quickly, and reuse their memory."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import modules in the block without garbage collection, and never look for garbage among what they made.

    Torch makes half a million objects that stay until the process ends. Looking through them again and again, and once
    more at the end, takes a quarter of the time that the import takes by itself. What they free is kept for their next
    tensors; see `_keep_freed_memory`.
    """
    _keep_freed_memory()
    if not gc.isenabled() or "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""The parameters M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc's `mallopt`."""
_OWN_MAPPING, _KEPT = 64 * 2**20, 512 * 2**20


def _keep_freed_memory() -> None:
    """Let the C library keep up to half a gigabyte that was freed, instead of returning it and fetching it again.

    Torch allocates every tensor anew, and each page that comes from the kernel costs a fault. Without them,
    fine-tuning and quantizing MobileNetV2 take about a tenth less of a processor's time, with the same peak of memory.
    Tensors of 64 MiB and more are returned at once as before. Only glibc has this function.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; Windows has no CDLL(None)
        return
    mallopt(_MMAP_THRESHOLD, _OWN_MAPPING)
    mallopt(_TRIM_THRESHOLD, _KEPT)
