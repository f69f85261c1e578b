"""Reads single key presses from the terminal while the program does something else."""

from __future__ import annotations

import select
import sys

from .errors import EdgenetError


class Keys:
    """The terminal's keys; use it as a context manager, which restores the terminal's settings at the end.

    It serves as the `Moments` of `collecting`: space or Enter takes a photo; q and Esc raise
    KeyboardInterrupt, as Ctrl-C does.

    Raises:
        EdgenetError: there is no terminal, or it cannot deliver single keys.
    """

    def __enter__(self) -> Keys:
        try:
            import termios
            import tty
        except ImportError:
            raise EdgenetError(
                "this system's terminal cannot report single keys", "give --every SECONDS"
            ) from None
        if not sys.stdin.isatty():
            raise EdgenetError("there is no terminal to press keys in", "give --every SECONDS")
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, *reason: object) -> None:
        import termios

        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def due(self) -> bool:
        """Return whether space or Enter was pressed since the last call."""
        wanted = False
        while select.select([sys.stdin], [], [], 0)[0]:
            key = sys.stdin.read(1)
            if key in ("q", "\x1b", ""):
                raise KeyboardInterrupt
            wanted = wanted or key in (" ", "\n")
        return wanted

    def judged(self, kept: bool) -> None:
        """Do nothing: the next key press decides about the next photo, whatever became of this one."""
