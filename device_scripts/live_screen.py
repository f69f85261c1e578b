"""What the camera sees, in a terminal: drawn again in place, or a line for each change where there is no terminal."""

from __future__ import annotations

import shutil
import time
from typing import Any, TextIO

from .watching import Seen

REDRAW_SECONDS = 0.1
_BAR, _CLEAR_LINE, _CLEAR_BELOW, _DIM, _BOLD, _PLAIN = (
    "█",
    "\x1b[K",
    "\x1b[J",
    "\x1b[2m",
    "\x1b[1m",
    "\x1b[0m",
)
_NOTHING = "nothing I know"


class LiveScreen:
    """Draws frames on a terminal.

    Args:
        out: the terminal; anything else gets a line whenever the label changes.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._lines = 0
        self._drawn = 0.0
        self._label: str | None = ""

    def show(self, seen: Seen, told: dict[str, Any]) -> None:
        """Shows a frame.

        Args:
            told: `temperature` (degrees Celsius or None), `warnings` and `lost` (what is wrong now).
        """
        if not self._terminal:
            if seen.label != self._label:
                self._label = seen.label
                score = f" {100 * seen.top[0][2]:.1f} %" if seen.label is not None else ""
                print(f"{seen.name}:  {seen.label or _NOTHING}{score}", file=self._out, flush=True)
        elif time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._draw(screen_lines(seen, told, shutil.get_terminal_size().columns))

    def _draw(self, lines: list[str]) -> None:
        back = f"\x1b[{self._lines}A\r" if self._lines else ""
        body = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
        self._out.write(f"{back}{body}{_CLEAR_BELOW}")
        self._out.flush()
        self._lines = len(lines)


def screen_lines(seen: Seen, told: dict[str, Any], columns: int) -> list[str]:
    """The lines of one picture of the screen, none longer than `columns` characters."""
    bar = max(columns // 3, 4)
    name = max(min(28, columns - bar - 12), 6)
    lines = [_BOLD + _cut(seen.label or _NOTHING, columns) + _PLAIN, ""]
    for _, label, score in seen.top:
        length = round(score * bar)
        lines.append(f"  {_cut(label, name):<{name}} {_BAR * length:<{bar}} {100 * score:5.1f} %")
    rate = "" if seen.fps is None else f"{seen.fps:.1f} frames/s · "
    heat = "" if told.get("temperature") is None else f" · {told['temperature']:.0f} °C"
    speed = f"{rate}{seen.p50_ms:.1f} ms from frame to label · {seen.missed} frames not looked at{heat}"
    lines += ["", _DIM + _cut(speed, columns) + _PLAIN]
    lines += [
        _cut(f"! {warning}", columns) for warning in (told.get("lost"), *told.get("warnings", ())) if warning
    ]
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
