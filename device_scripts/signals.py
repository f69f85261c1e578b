"""Makes SIGTERM, which stops a service, end a program in the same way as Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Ended:
    """How a block ended.

    Attributes:
        status: the exit status: 0, or 128 plus the number of the signal that ended the block.
    """

    status = 0


@contextmanager
def ended_by_signals() -> Iterator[Ended]:
    """Raise KeyboardInterrupt inside the block on Ctrl-C or SIGTERM; do nothing outside the main thread."""
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
