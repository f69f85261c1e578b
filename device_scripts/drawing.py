"""Draws text into pictures with nothing but OpenCV.

OpenCV 5 draws with a scalable font and knows all of Unicode; OpenCV 4 draws letters made of lines and knows
only ASCII.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import cv2
import numpy as np

BOLD, PLAIN = cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SIMPLEX
_UNICODE = int(cv2.__version__.split(".")[0]) >= 5
_ELLIPSIS = "…" if _UNICODE else "..."


@dataclass(frozen=True)
class Style:
    """How text looks: one of OpenCV's fonts, its scale (1 is about 22 pixels high) and its colour, BGR."""

    font: int
    scale: float
    colour: tuple[int, int, int]


def draw_text(image: np.ndarray, text: str, origin: tuple[int, int], style: Style, room: int) -> None:
    """Draw one line of text with its baseline at `origin`, shortened to at most `room` pixels."""
    cv2.putText(image, _fit(text, style, room), origin, style.font, style.scale, style.colour, 1, cv2.LINE_AA)


def text_width(text: str, style: Style) -> int:
    """Return the width of one line of text, pixels."""
    return cv2.getTextSize(text, style.font, style.scale, 1)[0][0]


def _fit(text: str, style: Style, room: int) -> str:
    """Return the text, or its longest prefix that fits together with an ellipsis."""
    text = " ".join(text.split())
    if not _UNICODE:  # the font is ASCII: "é" becomes "e", and a character with no ASCII form becomes "?"
        text = unicodedata.normalize("NFKD", text).replace("·", "|")
        text = "".join(c if ord(c) < 128 else "?" for c in text if not unicodedata.combining(c))
    if text_width(text, style) <= room:
        return text
    length = len(text)
    while length and text_width(text[:length].rstrip(" ,") + _ELLIPSIS, style) > room:
        length -= 1
    return text[:length].rstrip(" ,") + _ELLIPSIS if length else ""
