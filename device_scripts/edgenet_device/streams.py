"""Standard streams that are closed, that cannot encode what is printed, or that cannot take it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

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
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
