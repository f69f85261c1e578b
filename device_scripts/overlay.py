"""Draws the network's labels into a frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .drawing import BOLD, PLAIN, Style, draw_text

_ROWS = 3
_TITLE, _ROW = 30, 24  # heights, pixels
_BEST, _OTHER = Style(BOLD, 0.7, (245, 242, 240)), Style(PLAIN, 0.5, (200, 192, 188))
_BAR, _WARNING = (178, 200, 72), Style(PLAIN, 0.5, (84, 180, 255))
_NOTHING = "nothing I know"


def overlaid(pixels: np.ndarray, state: dict[str, Any]) -> np.ndarray:
    """Return a copy of a frame with its best labels along the lower edge and warnings along the upper edge.

    Args:
        pixels: uint8 BGR [H,W,3].
        state: the frame's state, see `live_outputs`.
    """
    picture = pixels.copy()
    height, width = picture.shape[:2]
    fitting = max((height // 2 - _TITLE) // _ROW, 0)  # the rows may cover at most half of a small picture
    rows = state["top"][: min(_ROWS, fitting)]
    band = min(_TITLE + _ROW * len(rows), height)
    picture[height - band :] //= 3
    draw_text(picture, state["label"] or _NOTHING, (12, height - band + 24), _BEST, width - 24)
    for number, row in enumerate(rows):
        base = height - band + 46 + _ROW * number
        long = round(row["score"] * (width // 4))
        cv2.rectangle(picture, (12, base - 10), (12 + long, base - 2), _BAR, -1)
        text = f"{100 * row['score']:.0f} %  {row['label']}"
        draw_text(picture, text, (24 + width // 4, base), _OTHER, width - 36 - width // 4)
    warnings = " · ".join(filter(None, (state.get("lost"), *state.get("warnings", ()))))
    if warnings:
        draw_text(picture, warnings, (12, 22), _WARNING, width - 24)
    return picture
