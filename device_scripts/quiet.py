"""Silence what native libraries write to stderr on their own (libjpeg, libpng, FFmpeg, LiteRT).

They write to file descriptor 2 past Python, so it has to be turned away at that level. The descriptor belongs to
the whole process: several threads may be inside at once, the first to enter turns it away, the last puts it back.
Python's own messages from other threads are lost during that time, so keep the protected part short.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator


class _Stderr:
    """File descriptor 2 with a count of those who want it silent."""

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
        """Undoes one `enter`; the last one gives standard error back."""
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
        except OSError:  # closed already, as in a daemon: nothing to silence
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)


_STDERR = _Stderr()


@contextlib.contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Nothing that is written to file descriptor 2 inside the block reaches the terminal."""
    _STDERR.enter()
    try:
        yield
    finally:
        _STDERR.leave()
