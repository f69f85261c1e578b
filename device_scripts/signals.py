"""Ctrl-C and SIGTERM end a program alike: the second is how a service is stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Ended:
    """How a block ended.

    Attributes:
        status: 0, or 128 and the signal's number.
    """

    status = 0


@contextmanager
def ended_by_signals() -> Iterator[Ended]:
    """Raises KeyboardInterrupt in the block when either comes; only the main thread can have this."""
    ended = Ended()

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
