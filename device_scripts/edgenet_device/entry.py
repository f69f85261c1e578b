"""What every script here shares: exit statuses, option types, and how signals end a program."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


def default_threads() -> int:
    """Return the number of threads that run a network unless the user says otherwise: one per CPU, at most 4."""
    return min(4, len(usable_cpus()))


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 1


class ExitState:
    """How a block ended.

    Attributes:
        status: the exit status: 0, or 128 plus the number of the signal that ended the block.
    """

    status = 0


@contextmanager
def ended_by_signals() -> Iterator[ExitState]:
    """Raise KeyboardInterrupt inside the block on Ctrl-C or SIGTERM; do nothing outside the main thread.

    SIGTERM stops a service; its program then ends in the same way as after Ctrl-C.
    """
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
