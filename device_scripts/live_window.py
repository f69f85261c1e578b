"""Shows the live camera in a desktop window."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import cv2
import numpy as np

from .errors import EdgenetError
from .overlay import overlaid

_TITLE = "edgenet"
_KEYS_THAT_END = (ord("q"), 27)
_PROBE = "import cv2; cv2.namedWindow('edgenet'); cv2.waitKey(1)"


class LiveWindow:
    """A window with the labelled frames; closing it, q and Esc raise KeyboardInterrupt, as Ctrl-C does.

    Raises:
        EdgenetError: no window can be opened; the message says why.
    """

    def __enter__(self) -> LiveWindow:
        _check()
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


def _check() -> None:
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
