"""Silences what native libraries write to stderr on their own (libjpeg, libpng, FFmpeg, LiteRT).

They write to file descriptor 2 and bypass Python, so the descriptor itself has to be redirected. It belongs
to the whole process: several threads may be inside a silent block at once, the first to enter redirects the
descriptor, and the last to leave restores it. Python's own messages from other threads are lost meanwhile, so
keep the block short.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator


class _Stderr:
    """File descriptor 2, with a count of the silent blocks that are running now."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.saved: int | None = None

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self._turn_away()

    def leave(self) -> None:
        """Undo one `enter`; the last call restores standard error."""
        with self.lock:
            self.inside -= 1
            if self.inside == 0 and self.saved is not None:
                os.dup2(self.saved, 2)
                os.close(self.saved)
                self.saved = None

    def _turn_away(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        try:
            self.saved = os.dup(2)
        except OSError:  # stderr is closed already, as in a daemon, so there is nothing to silence
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)


_STDERR = _Stderr()


@contextlib.contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Discard everything that is written to file descriptor 2 inside the block."""
    _STDERR.enter()
    try:
        yield
    finally:
        _STDERR.leave()
