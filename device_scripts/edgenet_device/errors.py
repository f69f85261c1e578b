"""Errors: the one exception that is meant for the user, threads whose failure is noticed, and the check of a number.

The exception is shown as a single line without a traceback. An exception in a `WatchedThread` ends the program, not
only the thread.
"""

from __future__ import annotations

import operator
import threading
from typing import Any, Callable

from edgenet_device.foreign_text import LONGEST_LINE, one_line


class EdgenetError(Exception):
    """An error that says what was found, where, and what to do about it.

    Args:
        found: what was found and where, one sentence without a full stop.
        remedy: what the user can do, one sentence without a full stop; it follows `found` after a semicolon.

    Both may name files, labels and other texts that others wrote, so both become one printable line.
    """

    def __init__(self, found: str, remedy: str = "") -> None:
        self.found, self.remedy = one_line(found, LONGEST_LINE), one_line(remedy, LONGEST_LINE)
        super().__init__(f"{self.found}; {self.remedy}" if remedy else self.found)

    def __reduce__(self) -> tuple[type[EdgenetError], tuple[str, str]]:
        """Pickle the two parts, so that another process gets both: `args` holds only the joined text."""
        return type(self), (self.found, self.remedy)


def whole_number(value: Any, name: str) -> int:
    """Return an argument that must be a whole number, Python's or numpy's.

    Raises:
        TypeError: it is something else; True and False count as something else.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is a whole number, but a {type(value).__name__} was given")
    return operator.index(value)


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
