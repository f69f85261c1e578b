"""Keys pressed in the terminal, one by one, while something else goes on."""

from __future__ import annotations

import select
import sys

from .errors import EdgenetError


class Keys:
    """The terminal's keys; use it as a context manager, which gives the terminal back as it was.

    As the `Moments` of `collecting`: a photo is wanted when space or Enter was pressed; q ends as Ctrl-C does.

    Raises:
        EdgenetError: there is no terminal, or it cannot give single keys.
    """

    def __enter__(self) -> Keys:
        try:
            import termios
            import tty
        except ImportError:
            raise EdgenetError(
                "this system's terminal gives no single keys", "give --every SECONDS"
            ) from None
        if not sys.stdin.isatty():
            raise EdgenetError("there is no terminal whose keys could be pressed", "give --every SECONDS")
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, *reason: object) -> None:
        import termios

        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def due(self) -> bool:
        """Whether a photo is wanted now."""
        wanted = False
        while select.select([sys.stdin], [], [], 0)[0]:
            key = sys.stdin.read(1)
            if key in ("q", "\x1b", ""):
                raise KeyboardInterrupt
            wanted = wanted or key in (" ", "\n")
        return wanted

    def judged(self, kept: bool) -> None:
        """What became of it: the next key decides about the next."""
