"""How a command imports torch and the like: the garbage collector waits, and then leaves them alone."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import modules in the block without garbage collection, and never look for garbage among what they made.

    Torch makes half a million objects that stay until the process ends. Looking through them again and again, and once
    more at the end, takes a quarter of the time that the import takes by itself.
    """
    if not gc.isenabled() or "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
