"""How Ctrl-C ends the command: at once while a command imports its modules, else by KeyboardInterrupt.

Within an import KeyboardInterrupt is not safe: a module may turn it into an ImportError, and torch would go on without
numpy if it was interrupted while importing numpy.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

INTERRUPTED = 130
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
_SHOW_CURSOR = b"\x1b[?25h\r\x1b[K"


@contextmanager
def quick_interrupts() -> Iterator[None]:
    """End the process at once, with status 130, if Ctrl-C comes in the block while a command imports its modules.

    Nothing has been begun then that would have to be cleaned up. Where Ctrl-C is ignored, as in a background job of a
    shell, it stays ignored.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def caused_by_interrupt(error: BaseException | None) -> bool:
    """Return whether an error was raised in place of a KeyboardInterrupt, as some modules do while being imported."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _imported_by_a_command(frame):
        raise KeyboardInterrupt
    with suppress(OSError):
        if os.isatty(2):  # a progress bar has hidden the cursor
            os.write(2, _SHOW_CURSOR)
    os._exit(INTERRUPTED)


def _imported_by_a_command(frame: FrameType | None) -> bool:
    """Return whether the frame is in an import that a module of `edgenet.commands` or the start of edgenet began."""
    importer = ""
    while frame is not None:
        caller = frame.f_back
        if frame.f_code.co_filename == _IMPORT_SYSTEM and caller is not None:
            importer = caller.f_globals.get("__name__", "")  # at last, the importer outside all other imports
        frame = caller
    return importer == "__main__" or importer.startswith(("edgenet.commands.", "edgenet.__main__"))
