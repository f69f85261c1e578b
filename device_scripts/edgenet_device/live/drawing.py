"""What is drawn with labels: the contact sheet of classify.py, and the frames of the live camera.

The sheet is a grid of frames with their best labels, and bars for the scores. Each tile shows the centred
square of its frame, which is exactly the part that the network is given.

Text is drawn with nothing but OpenCV. OpenCV 5 has a scalable font and knows all of Unicode; OpenCV 4 draws
letters made of lines and knows only ASCII.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import one_line
from edgenet_device.live.loop import LabelOptions
from edgenet_device.output_files import check_output, write_atomically
from edgenet_device.preprocess import prepare

MAX_TILES = 12
SHEET_LABELS = 3
SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")
_PHOTO, _GAP, _MARGIN, _HEADER = 288, 20, 32, 92
_MIN_GRID = 2 * _PHOTO + _GAP  # a single tile would be too narrow for the header
_PAD, _ROW, _CAPTION, _RADIUS = 14, 40, 30, 12
# Colours are BGR, as everywhere in OpenCV.
_BACKGROUND, _PANEL, _TRACK = (22, 18, 16), (38, 32, 29), (60, 52, 48)
_BRIGHT, _SOFT, _FAINT = (245, 242, 240), (190, 180, 174), (140, 130, 124)
_BEST_BAR, _OTHER_BAR = (178, 200, 72), (134, 116, 104)
_OVERLAY_ROWS = 3
_OVERLAY_TITLE, _OVERLAY_ROW = 30, 24  # heights, pixels
BOLD, PLAIN = cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SIMPLEX
_UNICODE = int(cv2.__version__.split(".")[0]) >= 5
_ELLIPSIS = "…" if _UNICODE else "..."


@dataclass(frozen=True)
class Style:
    """How text looks: one of OpenCV's fonts, its scale (1 is about 22 pixels high) and its colour, BGR."""

    font: int
    scale: float
    colour: tuple[int, int, int]


_TITLE, _SUBTITLE = Style(BOLD, 0.9, _BRIGHT), Style(PLAIN, 0.52, _FAINT)
_NAME, _BEST, _OTHER = Style(PLAIN, 0.42, _FAINT), Style(BOLD, 0.5, _BRIGHT), Style(PLAIN, 0.46, _SOFT)
_OVERLAY_BEST, _OVERLAY_OTHER = Style(BOLD, 0.7, _BRIGHT), Style(PLAIN, 0.5, (200, 192, 188))
_WARNING = Style(PLAIN, 0.5, (84, 180, 255))


@dataclass(frozen=True)
class Tile:
    """One frame of the sheet.

    Attributes:
        square: uint8 BGR [288, 288, 3], from `tile_of`.
        name: the frame's name.
        best: (label, score 0..1) from best to worst; the first three are drawn.
    """

    square: np.ndarray
    name: str
    best: tuple[tuple[str, float], ...]


class EvenPick:
    """Keeps fewer than 24 tiles, spread evenly over a source whose length is not known beforehand.

    It takes every step-th frame; when it holds 24, it drops every other tile and doubles the step. Only the
    small tiles stay in memory, so a camera may run for days.
    """

    def __init__(self) -> None:
        self._tiles: list[Tile] = []
        self._step = 1

    def offer(self, number: int, frame: np.ndarray, name: str, best: Sequence[tuple[str, float]]) -> None:
        """Keep a frame (uint8 BGR [H,W,3]) if `number`, which counts from 0, is a multiple of the step."""
        if number % self._step:
            return
        self._tiles.append(tile_of(frame, name, best))
        if len(self._tiles) == 2 * MAX_TILES:
            self._tiles = self._tiles[::2]
            self._step *= 2

    def tiles(self, most: int = MAX_TILES) -> list[Tile]:
        """Return at most `most` of the kept tiles, spread evenly from the first to the last."""
        last = len(self._tiles) - 1
        places = np.linspace(0, last, min(most, last + 1)).round().astype(int)
        return [self._tiles[place] for place in places]


def tile_of(frame: np.ndarray, name: str, best: Sequence[tuple[str, float]]) -> Tile:
    """Shrink a frame (uint8 BGR [H,W,3]) to a tile by the same rule as the network's input."""
    return Tile(prepare(frame, _PHOTO)[0][..., ::-1].copy(), name, tuple(best))


def draw_contact_sheet(tiles: Sequence[Tile], title: str, subtitle: str = "") -> np.ndarray:
    """Draw the sheet.

    Args:
        tiles: 1 to 12.
        title: first line of the header, for instance the model's name.
        subtitle: second line.

    Returns:
        uint8 BGR [height, width, 3].
    """
    if not 1 <= len(tiles) <= MAX_TILES:
        raise EdgenetError(f"{len(tiles)} tiles for a contact sheet", f"give 1 to {MAX_TILES}")
    rows_of_labels = max(1, max(len(tile.best[:SHEET_LABELS]) for tile in tiles))
    columns = _columns(len(tiles))
    rows = -(-len(tiles) // columns)
    tile_height = _PHOTO + _CAPTION + rows_of_labels * _ROW + _PAD // 2
    grid = columns * _PHOTO + (columns - 1) * _GAP
    width = 2 * _MARGIN + max(grid, _MIN_GRID)
    indent = (width - grid) // 2
    height = _HEADER + rows * (tile_height + _GAP) - _GAP + _MARGIN
    sheet = np.full((height, width, 3), _BACKGROUND, np.uint8)
    draw_text(sheet, title, (_MARGIN, 48), _TITLE, width - 2 * _MARGIN)
    draw_text(sheet, subtitle, (_MARGIN, 74), _SUBTITLE, width - 2 * _MARGIN)
    for number, tile in enumerate(tiles):
        left = indent + number % columns * (_PHOTO + _GAP)
        top = _HEADER + number // columns * (tile_height + _GAP)
        _draw_tile(sheet[top : top + tile_height, left : left + _PHOTO], tile)
    return sheet


def check_sheet_path(path: Path) -> None:
    """Refuse a path that the sheet cannot be written to, before any work is done for it."""
    if path.suffix.lower() not in SHEET_SUFFIXES:
        raise EdgenetError(f"{path} does not end in .png or .jpg", "give the contact sheet such a name")
    check_output(path)


def save_contact_sheet(sheet: np.ndarray, path: Path) -> None:
    """Write the sheet as PNG or JPEG, by the path's suffix; no partial file is ever left behind."""
    check_sheet_path(path)
    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 92]
    encoded, data = cv2.imencode(path.suffix.lower(), sheet, options)
    if not encoded:
        raise EdgenetError(f"OpenCV cannot encode {path.suffix}", "use .png")
    write_atomically(path, data.tobytes())


def _columns(count: int) -> int:
    """Return how many columns hold this many tiles.

    Up to four tiles form one row; more form rows as full as possible: 3+2, 3+3, 4+3, 4+4, 3+3+3, 4+4+2 and so
    on.
    """
    return count if count <= 4 else (3 if count in (5, 6, 9) else 4)


def _draw_tile(area: np.ndarray, tile: Tile) -> None:
    """Draw a tile into `area`, a view of the sheet."""
    height, width = area.shape[:2]
    card = np.full(area.shape, _PANEL, np.uint8)
    card[:_PHOTO] = tile.square
    inner = width - 2 * _PAD
    draw_text(card, tile.name, (_PAD, _PHOTO + 21), _NAME, inner)
    for rank, (label, score) in enumerate(tile.best[:SHEET_LABELS]):
        # A guess must not look like an answer: camera.py would call it "nothing I know".
        is_answer = rank == 0 and score >= LabelOptions.threshold
        style, bar = (_BEST, _BEST_BAR) if is_answer else (_OTHER, _OTHER_BAR)
        base = _PHOTO + _CAPTION + rank * _ROW + 16
        percent = f"{score * 100:.1f} %"
        taken = text_width(percent, style)
        draw_text(card, percent, (width - _PAD - taken, base), style, taken)
        draw_text(card, label, (_PAD, base), style, inner - taken - 14)
        _bar(card, (_PAD, base + 11), inner, score, bar)
    mask = _rounded(height, width)[..., None]
    area[:] = (card * mask + area * (1 - mask) + 0.5).astype(np.uint8)


def _bar(
    card: np.ndarray, start: tuple[int, int], length: int, score: float, colour: tuple[int, int, int]
) -> None:
    """Draw a bar with round ends on a darker track; its length is the score."""
    left, y = start
    filled = round(length * min(max(score, 0.0), 1.0))
    cv2.line(card, (left + 2, y), (left + length - 3, y), _TRACK, 4, cv2.LINE_AA)
    if filled >= 1:
        cv2.line(card, (left + 2, y), (left + max(2, filled - 3), y), colour, 4, cv2.LINE_AA)


def _rounded(height: int, width: int) -> np.ndarray:
    """Return float32 [height, width], 1 inside a rectangle with round corners and 0 outside.

    It is drawn four times as large and then reduced, for smooth edges.
    """
    scale, radius = 4, _RADIUS * 4
    big = np.zeros((height * scale, width * scale), np.uint8)
    right, bottom = width * scale - 1, height * scale - 1
    cv2.rectangle(big, (radius, 0), (right - radius, bottom), 255, -1)
    cv2.rectangle(big, (0, radius), (right, bottom - radius), 255, -1)
    for x in (radius, right - radius):
        for y in (radius, bottom - radius):
            cv2.circle(big, (x, y), radius, 255, -1)
    return cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def overlaid(pixels: np.ndarray, state: dict[str, Any]) -> np.ndarray:
    """Return a copy of a frame with its best labels along the lower edge and warnings along the upper edge.

    Args:
        pixels: uint8 BGR [H,W,3].
        state: the frame's state, see `live.run`.
    """
    picture = pixels.copy()
    height, width = picture.shape[:2]
    # The rows may cover at most half of a small picture.
    fitting = max((height // 2 - _OVERLAY_TITLE) // _OVERLAY_ROW, 0)
    rows = state["top"][: min(_OVERLAY_ROWS, fitting)]
    band = min(_OVERLAY_TITLE + _OVERLAY_ROW * len(rows), height)
    picture[height - band :] //= 3
    draw_text(picture, state["label"] or NOTHING_KNOWN, (12, height - band + 24), _OVERLAY_BEST, width - 24)
    for number, row in enumerate(rows):
        base = height - band + 46 + _OVERLAY_ROW * number
        long = round(row["score"] * (width // 4))
        cv2.rectangle(picture, (12, base - 10), (12 + long, base - 2), _BEST_BAR, -1)
        text = f"{100 * row['score']:.0f} %  {row['label']}"
        draw_text(picture, text, (24 + width // 4, base), _OVERLAY_OTHER, width - 36 - width // 4)
    warnings = " · ".join(filter(None, (state.get("lost"), *state.get("warnings", ()))))
    if warnings:
        draw_text(picture, warnings, (12, 22), _WARNING, width - 24)
    return picture


def draw_text(image: np.ndarray, text: str, origin: tuple[int, int], style: Style, room: int) -> None:
    """Draw one line of text with its baseline at `origin`, shortened to at most `room` pixels."""
    cv2.putText(image, _fit(text, style, room), origin, style.font, style.scale, style.colour, 1, cv2.LINE_AA)


def text_width(text: str, style: Style) -> int:
    """Return the width of one line of text, pixels."""
    return cv2.getTextSize(text, style.font, style.scale, 1)[0][0]


def _fit(text: str, style: Style, room: int) -> str:
    """Return the text, or its longest prefix that fits together with an ellipsis."""
    text = one_line(text, 500)
    if not _UNICODE:  # the font is ASCII: "é" becomes "e", and a character with no ASCII form becomes "?"
        text = unicodedata.normalize("NFKD", text).replace("·", "|")
        text = "".join(c if ord(c) < 128 else "?" for c in text if not unicodedata.combining(c))
    if text_width(text, style) <= room:
        return text
    length = len(text)
    while length and text_width(text[:length].rstrip(" ,") + _ELLIPSIS, style) > room:
        length -= 1
    return text[:length].rstrip(" ,") + _ELLIPSIS if length else ""
