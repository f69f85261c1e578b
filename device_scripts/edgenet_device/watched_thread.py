"""Threads whose failure is noticed: an exception in one of them must end the program, not only the thread."""

from __future__ import annotations

import threading
from typing import Callable

from edgenet_device.errors import EdgenetError

_REMEDY = "start the program again, and report this fault if it comes back"


class WatchedThread(threading.Thread):
    """A daemon thread that keeps the exception that ended it, until another thread calls `check`.

    Args:
        part: what the thread does, for error messages and as its name, such as "the web server".
        work: called once in the thread.

    Attributes:
        error: the exception that ended the thread; None while there is none.
    """

    def __init__(self, part: str, work: Callable[[], None]) -> None:
        super().__init__(name=part, daemon=True)
        self.error: BaseException | None = None
        self._work = work

    def run(self) -> None:
        """Do the work and keep the exception that ends it."""
        try:
            self._work()
        except BaseException as error:
            self.error = error

    def check(self) -> None:
        """Raise an error if the thread was started and has ended.

        Raises:
            EdgenetError: the one that ended the thread, or one about any other reason for its end.
        """
        if isinstance(self.error, EdgenetError):
            raise self.error
        if self.error is not None:
            raise EdgenetError(
                f"{self.name} failed unexpectedly ({type(self.error).__name__}: {self.error})", _REMEDY
            ) from self.error
        if self.ident is not None and not self.is_alive():
            raise EdgenetError(f"{self.name} ended by itself", _REMEDY)
