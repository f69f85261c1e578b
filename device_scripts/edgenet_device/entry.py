"""What every script here shares: exit statuses, option types, and output files that are never partial."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from edgenet_device.errors import EdgenetError

_PACKAGES = {
    "cv2": "pip install opencv-python-headless (Raspberry Pi OS: sudo apt install python3-opencv)",
    "numpy": "pip install numpy (Raspberry Pi OS: sudo apt install python3-numpy)",
}
_SIGPIPE_STATUS = 128 + 13


def run(main: Callable[[], int]) -> int:
    """Call a script's main function and turn the exceptions it raises into an exit status.

    Returns:
        main's own result; 1 after an EdgenetError, a missing package or too little memory, each printed as
        one line on stderr; 130 after Ctrl-C; 141 when the reader of the output stopped reading (as in `|
        head`).
    """
    try:
        status = main()
        sys.stdout.flush()
        return status
    except EdgenetError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        return _fail(f"the package {error.name} is not installed; {_PACKAGES[error.name]}")
    except MemoryError:
        return _fail("not enough memory; close other programs or use a smaller network")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Without this, Python complains when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE_STATUS


def at_least(minimum: int) -> Callable[[str], int]:
    """Return an argparse type: whole numbers from `minimum` up; others are usage errors (exit status 2)."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is below {minimum}")
        return value

    return whole_number


def seconds(text: str) -> float:
    """Parse 0 to 60 seconds, as an argparse type; anything else is a usage error (exit status 2)."""
    value = float(text)
    if not 0 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{value:g} is not between 0 and 60")
    return value


def usable_cpus() -> list[int]:
    """Return the numbers of the CPUs that this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def check_output_folder(path: Path) -> None:
    """Refuse an output file that cannot be written, before any work is done for it.

    Raises:
        EdgenetError: the path is a folder, or its folder is missing or read-only.
    """
    if path.is_dir():
        raise EdgenetError(f"{path} is a folder", "give the name of a file")
    if not path.parent.is_dir():
        raise EdgenetError(f"the folder {path.parent} does not exist", "make it first")
    if not os.access(path.parent, os.W_OK):
        raise EdgenetError(f"the folder {path.parent} is read-only", "choose another place")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that an older one of the same name stays intact if anything goes wrong.

    Raises:
        EdgenetError: the folder is missing or read-only, or the disk is full.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp lets only the owner read it
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise EdgenetError(f"cannot write {path}: {error.strerror}", "choose another place") from error


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 1


# ==== device_scripts.signals
# Makes SIGTERM, which stops a service, end a program in the same way as Ctrl-C.


class ExitState:
    """How a block ended.

    Attributes:
        status: the exit status: 0, or 128 plus the number of the signal that ended the block.
    """

    status = 0


@contextmanager
def ended_by_signals() -> Iterator[ExitState]:
    """Raise KeyboardInterrupt inside the block on Ctrl-C or SIGTERM; do nothing outside the main thread."""
    ended = ExitState()

    def end(number: int, frame: object) -> None:
        ended.status = 128 + number
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
