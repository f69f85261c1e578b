"""The process's standard streams: closed ones, ones that cannot take what is printed, and native libraries' noise.

Native libraries (libjpeg, libpng, FFmpeg, LiteRT) write to file descriptor 2 and bypass Python, so the descriptor
itself has to be redirected. It belongs to the whole process: several threads may be inside a silent block at once,
the first to enter redirects the descriptor, and the last to leave restores it. Python's own messages from other
threads are lost meanwhile, so keep the block short.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BROKEN_PIPE_STATUS = 128 + 13
"""The exit status of a program whose reader stopped reading, as in `| head`: that of SIGPIPE."""


def prepare_streams() -> None:
    """Replace what a stream cannot encode by "?", and closed streams by others.

    A closed stdout becomes one that refuses what is written, so that the loss is reported.
    """
    # In this order each closed stream gets its own descriptor again, which no other file must take.
    for name, flags, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_RDONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def discard_output() -> None:
    """Let what is still waiting in stdout go nowhere; else Python would complain about it at its end."""
    with suppress(OSError, ValueError):
        _lead_nowhere(sys.stdout.fileno())


def _lead_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


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
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        try:
            self.saved = os.dup(2)
        except OSError:  # stderr is closed already, as in a daemon, or no descriptor is left for the copy
            return
        try:
            _lead_nowhere(2)
        except OSError:  # no descriptor is left: noise on stderr must not end the program
            os.close(self.saved)
            self.saved = None


_STDERR = _Stderr()


@contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Discard everything that is written to file descriptor 2 inside the block."""
    _STDERR.enter()
    try:
        yield
    finally:
        _STDERR.leave()
