"""Shows what the camera sees: in a terminal, in a desktop window, or in a recording, an MP4 file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, TextIO

import cv2
import numpy as np

from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import LONGEST_LABEL, one_line, printable, say
from edgenet_device.live.drawing import overlaid
from edgenet_device.output_files import check_output
from edgenet_device.source_text import is_live
from edgenet_device.streams import quiet_native_stderr

REDRAW_SECONDS = 0.1
BLOCK = "█"
_CLEAR_LINE, _CLEAR_BELOW, _DIM, _BOLD, _PLAIN = "\x1b[K", "\x1b[J", "\x1b[2m", "\x1b[1m", "\x1b[0m"
_TITLE = "edgenet"
_KEYS_THAT_END = (ord("q"), 27)
_PROBE = "import cv2; cv2.namedWindow('edgenet'); cv2.waitKey(1)"
LIVE_RATE = 15.0
"""Frames per second in the recording of a live source, whose own rate changes with the light and the load."""
RESERVE_BYTES = 64 * 2**20
"""Recording stops when less disk space is left: the system and the file's end need some room, too."""
LOOK_SECONDS = 1.0
# The file is written in fragments, so that a power cut loses the last second and not the whole file
# (ISO/IEC 14496-12, movie fragments).
_IN_FRAGMENTS = "movflags;+frag_keyframe+empty_moov"


class LiveScreen:
    """Draws states on a terminal, redrawn in place: this process's own, or those that another machine sends as JSON.

    Args:
        out: the terminal; any other stream receives one line whenever the label changes.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._block = BLOCK if _can_show(out, BLOCK) else "#"
        self._lines = 0
        self._drawn = 0.0
        self._label: str | None = ""
        self._state: dict[str, Any] = {}

    def show(self, state: dict[str, Any]) -> None:
        """Show a state from `FrameResult.as_dict`, or only the entries that changed while no frame comes.

        A state may also have `temperature` (degrees Celsius or None), `warnings`, and `lost` (why no frame
        comes).
        """
        self._state = {**self._state, **state}
        if not self._terminal:
            self._print_change()
        elif time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._draw(screen_lines(self._state, shutil.get_terminal_size().columns, self._block))

    def _print_change(self) -> None:
        label = self._state.get("label")
        if label == self._label or "top" not in self._state:
            return
        self._label = label
        # The scripts on a device may be older and state no score of the label, which then is the best one.
        score = self._state.get("score", self._state["top"][0]["score"])
        percent = f" {100 * score:.1f} %" if label is not None else ""
        shown = one_line(label or NOTHING_KNOWN, LONGEST_LABEL)
        say(f"{one_line(self._state['name'])}:  {shown}{percent}", self._out)

    def _draw(self, lines: list[str]) -> None:
        back = f"\x1b[{self._lines}A\r" if self._lines else ""
        body = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
        self._out.write(f"{back}{body}{_CLEAR_BELOW}")
        self._out.flush()
        self._lines = len(lines)


def screen_lines(state: dict[str, Any], columns: int, block: str = BLOCK) -> list[str]:
    """Return the screen's lines for one state, cut to `columns` characters; the bars are made of `block`.

    A row of the list never gets narrower than 6 characters for the name and 4 for the bar.
    """
    bar = max(columns // 3, 4)
    name = max(min(28, columns - bar - 12), 6)
    lines = [_BOLD + _cut(printable(state.get("label") or NOTHING_KNOWN), columns) + _PLAIN, ""]
    for row in state.get("top", ()):
        label, score = printable(row["label"]), row["score"]
        lines.append(
            f"  {_cut(label, name):<{name}} {block * round(score * bar):<{bar}} {100 * score:5.1f} %"
        )
    lines += ["", _DIM + _cut(_speed(state), columns) + _PLAIN]
    wrong = (state.get("lost"), *state.get("warnings", ()))
    return lines + [_cut(f"! {printable(warning)}", columns) for warning in wrong if warning]


def _speed(state: dict[str, Any]) -> str:
    if "p50_ms" not in state:
        return "waiting for the camera"
    rate = "" if state["fps"] is None else f"{state['fps']:.1f} frames/s · "
    heat = "" if state.get("temperature") is None else f" · {state['temperature']:.0f} °C"
    return f"{rate}{state['p50_ms']:.1f} ms from frame to label · {state['missed']} frames skipped{heat}"


def _can_show(out: TextIO, text: str) -> bool:
    try:
        text.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


class LiveWindow:
    """A window with the labelled frames; closing it, q and Esc raise KeyboardInterrupt, as Ctrl-C does.

    Raises:
        EdgenetError: no window can be opened; the message says why.
    """

    def __enter__(self) -> LiveWindow:
        _check_display()
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        return self

    def __exit__(self, *reason: object) -> None:
        cv2.destroyAllWindows()

    def show(self, state: dict[str, Any], pixels: np.ndarray | None) -> None:
        """Show a frame; without one, only check the keys and whether the window was closed."""
        if pixels is not None:
            cv2.imshow(_TITLE, overlaid(pixels, state))
        key = cv2.waitKey(1) & 0xFF
        if key in _KEYS_THAT_END or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
            raise KeyboardInterrupt


def _check_display() -> None:
    """Try to open a window in another process first: Qt kills its process if it cannot reach the display."""
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        raise EdgenetError(
            "there is no display for a window", "use --serve, or start it in a terminal of the desktop"
        )
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False)
    if done.returncode == 0:
        return
    if b"not implemented" in done.stderr:
        raise EdgenetError(
            "this OpenCV was built without windows", "use --serve, or install opencv-python (not -headless)"
        )
    raise EdgenetError("no window can be opened on this display", "use --serve")


class Recording:
    """A growing MP4 file; use it as a context manager.

    Args:
        path: the file; an existing one is replaced.
        rate: frames per second of the file.
        live: whether frames come in real time: then each one is repeated for as long as it was the newest.
        note: called with the reason if the recording stops early.

    Attributes:
        trouble: why the recording stopped early; None while it goes on.

    Raises:
        EdgenetError: the path does not end in .mp4, or its folder cannot be written to.
    """

    def __init__(self, path: Path, rate: float, live: bool, note: Callable[[str], None]) -> None:
        if path.suffix.lower() != ".mp4":
            raise EdgenetError(f"{path} does not end in .mp4", "give the recording such a name")
        check_output(path)
        self.trouble: str | None = None
        self._path, self._rate, self._live, self._note = path, rate, live, note
        self._writer: cv2.VideoWriter | None = None
        self._began = self._looked = 0.0
        self._written = 0
        self._check_room()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *reason: object) -> None:
        self._close()

    def show(self, state: dict[str, Any], pixels: np.ndarray | None) -> None:
        """Add a frame; trouble with the file stops the recording but raises no error."""
        if pixels is None or self.trouble is not None:
            return
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._check_room()
        if self.trouble is None:
            self._write(overlaid(pixels, state), now)

    def _write(self, picture: np.ndarray, now: float) -> None:
        if self._writer is None:
            self._writer, self._began = self._opened(picture), now
        due = int((now - self._began) * self._rate) + 1 if self._live else self._written + 1
        if self._writer is None:
            return
        with quiet_native_stderr():
            for _ in range(due - self._written):
                self._writer.write(picture)
        self._written = due

    def _opened(self, picture: np.ndarray) -> cv2.VideoWriter | None:
        size = picture.shape[1], picture.shape[0]
        os.environ.setdefault("OPENCV_FFMPEG_WRITER_OPTIONS", _IN_FRAGMENTS)
        with quiet_native_stderr():
            writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, size)
        if not writer.isOpened():
            self._stop(f"this OpenCV cannot write {self._path}")
            return None
        return writer

    def _check_room(self) -> None:
        try:
            free = shutil.disk_usage(self._path.parent).free
        except OSError as error:
            self._stop(f"{self._path.parent} cannot be read ({error.strerror})")
            return
        if free < RESERVE_BYTES:
            self._stop(f"the disk is almost full ({free / 1e6:.0f} MB left)")

    def _stop(self, why: str) -> None:
        self.trouble = f"recording stopped: {why}"
        self._note(self.trouble)
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            with quiet_native_stderr():
                self._writer.release()
            self._writer = None


def recording_rate(source: str) -> float:
    """Return the frames per second to record a source with: a video file's own rate, else LIVE_RATE."""
    if is_live(source) or os.path.isdir(source):
        return LIVE_RATE
    with quiet_native_stderr():
        capture = cv2.VideoCapture(source)
        rate = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
        capture.release()
    return rate if 1 <= rate <= 240 else LIVE_RATE
