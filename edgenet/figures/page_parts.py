"""The small parts of pages: other people's names made harmless, pictures, numbers, lists, and drawings.

The drawings are an accuracy's interval, the learning curve and the matrix of many classes.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from edgenet_device.foreign_text import LONGEST_LINE, printable

from edgenet.accuracy import Interval
from edgenet.figures.teaching_facts import PhotoFacts, TeachingReport

if TYPE_CHECKING:
    from edgenet.teaching.learning_curve import CurvePoint, LearningCurve


LONGEST_NAME = 60
LICENCE_NOTE = (
    "<!-- SPDX-License-Identifier: Apache-2.0 (styles and scripts of this page, a part of edgenet) -->"
)
"""Stands in the head of every page of one file that edgenet writes."""
MOST_PICTURES = 400
"""The page holds at most this many pictures, of about 5 kB each."""
Picture = Callable[[int], bytes | None]
"""Returns the JPEG of the photo at an index, or None if the photo cannot be read any more."""


def shown(text: str, longest: int = LONGEST_NAME) -> str:
    """Return somebody's text fit to be shown: one line, cut in its middle, without characters that turn the direction.

    Control characters and the marks that turn the writing direction, which could make a name look like another one,
    become "\N{REPLACEMENT CHARACTER}".
    """
    if len(text) > longest:
        end = longest // 3
        text = f"{text[: longest - end - 1]}…{text[-end:]}"
    return printable(text, "\N{REPLACEMENT CHARACTER}")


def safe(text: str, longest: int = LONGEST_NAME) -> str:
    """Return `shown` text with HTML's special characters escaped, fit for an element or a quoted attribute."""
    return escape(shown(text, longest), quote=True)


def safe_text(text: str) -> str:
    """Return a sentence that may hold somebody's names, escaped, and cut only where it is much longer than any."""
    return safe(text, LONGEST_LINE)


def name_html(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a name that is kept apart from the direction of the text around it."""
    title = f' title="{safe(text, 400)}"' if len(text) > longest else ""
    return f"<bdi{title}>{safe(text, longest)}</bdi>"


def script_json(value: Any) -> str:
    """Return JSON that can stand within a <script> element, whatever texts it has."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def number_of(count: int, thing: str, plural: str = "") -> str:
    """Return "1 photo" or "2 photos"."""
    return f"{count:,} {thing if count == 1 else plural or thing + 's'}"


def percent(value: float) -> str:
    """Return a percentage with as many digits as it deserves on a page: 92 % or 99.6 %."""
    return f"{value:.0f} %" if value <= 99 or value == 100 else f"{value:.1f} %"


class Pictures:
    """The pictures that are put into the page, until there are `most`."""

    def __init__(self, report: TeachingReport, picture: Picture, most: int = MOST_PICTURES) -> None:
        self.report, self._picture, self.left = report, picture, most
        self.photos: dict[int, PhotoFacts] = {}
        """The photos that can be ticked on the page, by index."""

    def image(self, index: int, alt: str = "") -> str:
        """Return the photo's <img>, or a box in its place when it cannot be read or the page is full."""
        data = self._picture(index) if self.left > 0 else None
        if data is None:
            return '<span class="none">no picture</span>'
        self.left -= 1
        text = base64.b64encode(data).decode()
        return f'<img src="data:image/jpeg;base64,{text}" alt="{safe(alt, 300)}" loading="lazy">'

    def card(self, index: int, caption: str, likely: int | None = None, only_aside: bool = False) -> str:
        """Return the photo with a caption (HTML); the page's script adds what can be ticked.

        Args:
            index: the photo's index.
            caption: what is said about it, HTML.
            likely: the class index that a first button moves it to.
            only_aside: whether it can only be set aside.
        """
        photo = self.report.photos[index]
        self.photos[index] = photo
        extra = "" if likely is None else f' data-likely="{likely}"'
        extra += " data-only-aside" if only_aside else ""
        return (
            f'<figure class="photo" data-photo="{index}"{extra}>{self.image(index, "Photo " + photo.file)}'
            f'<figcaption>{caption}<span class="file">{name_html(photo.file, 34)}</span></figcaption></figure>'
        )


def left_out(count: int, shown_count: int, thing: str = "photo") -> str:
    """Return a line that says how many there are beyond those shown, or "" if all are shown."""
    rest = count - shown_count
    if rest <= 0:
        return ""
    return f'<p class="muted">{number_of(rest, f"more {thing}")} not shown, so that the page stays small.</p>'


def folded(items: Sequence[str], first: int, kind: str, thing: str) -> str:
    """Return boxes of class `kind` around items (HTML): the first ones open, the others behind a line to open."""
    rest = items[first:]
    hidden = ""
    if rest:
        summary = f"<summary>{number_of(len(rest), f'more {thing}')}</summary>"
        hidden = f'<details>{summary}<div class="{kind}">{"".join(rest)}</div></details>'
    return f'<div class="{kind}">{"".join(items[:first])}</div>{hidden}'


def sentence(text: str) -> str:
    """Return a line as the terminal shows it as a whole sentence, escaped: with a capital letter and a full stop."""
    first, rest = text[:1].upper(), text[1:]
    return safe(f"{first}{rest}{'' if rest.endswith(('.', '!', '?')) else '.'}", 600)


def bullets(lines: Sequence[str]) -> str:
    """Return a list of sentences."""
    return f"<ul>{''.join(f'<li>{sentence(line)}</li>' for line in lines)}</ul>"


NAMED_CLASSES = 40
"""A matrix of more classes has no names at its sides."""


def interval_svg(top1: float, interval: Interval) -> str:
    """Draw the accuracy and its interval on a line from 0 to 100 %."""
    left, width = 10.0, 400.0

    def x(value: float) -> str:
        return f"{left + width * value / 100:.1f}"

    span = max(width * (interval.high - interval.low) / 100, 2)
    ticks = "".join(
        f'<text class="faint" x="{x(value)}" y="40" text-anchor="middle">{value}</text>'
        for value in (0, 25, 50, 75, 100)
    )
    return (
        '<svg class="range" font-size="12" viewBox="0 0 424 46" aria-hidden="true">'
        f'<rect class="grid" x="{left}" y="13" width="{width}" height="4" fill-opacity="0.15"/>'
        f'<rect class="good" x="{x(interval.low)}" y="10" width="{span:.1f}" height="10" rx="5" fill-opacity="0.35"/>'
        f'<circle class="dot" cx="{x(top1)}" cy="15" r="7"/>{ticks}</svg>'
    )


class _Axes:
    """Maps photos per class (logarithmic) and percent onto the drawing."""

    WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420.0, 250.0, 40.0, 20.0, 14.0, 40.0

    def __init__(self, points: Sequence[CurvePoint]) -> None:
        self.low, self.high = (math.log(points[i].photos) for i in (0, -1))
        lowest = min(point.interval.low for point in points)
        self.step = 20 if lowest < 50 else 10
        self.floor = max(0, math.floor((lowest - 2) / self.step) * self.step)

    def x(self, photos: float) -> float:
        share = (math.log(photos) - self.low) / max(self.high - self.low, 1e-9)
        return self.LEFT + 10 + share * (self.WIDTH - self.LEFT - self.RIGHT - 20)

    def y(self, value: float) -> float:
        share = (value - self.floor) / (100 - self.floor)
        return self.HEIGHT - self.BOTTOM - share * (self.HEIGHT - self.TOP - self.BOTTOM)


def curve_svg(curve: LearningCurve) -> str:
    """Draw the accuracy over the number of photos per class, and what twice as many would give, dashed."""
    points = [*curve.points, *([curve.doubled] if curve.doubled else [])]
    axes = _Axes(points)
    drawn = [_grid(axes, points)]
    measured = " ".join(f"{axes.x(one.photos):.1f},{axes.y(one.accuracy):.1f}" for one in curve.points)
    drawn.append(f'<polyline class="line" points="{measured}"/>')
    if curve.doubled:
        last, after = curve.points[-1], curve.doubled
        drawn.append(
            f'<path class="line dash" d="M{axes.x(last.photos):.1f} {axes.y(last.accuracy):.1f}'
            f'L{axes.x(after.photos):.1f} {axes.y(after.accuracy):.1f}"/>'
        )
    drawn += [_point(axes, one, one is not curve.doubled) for one in points]
    told = "; ".join(f"{one.photos:.0f} photos per class: {percent(one.accuracy)}" for one in curve.points)
    return (
        f'<svg class="curve" font-size="12" viewBox="0 0 {_Axes.WIDTH:.0f} {_Axes.HEIGHT:.0f}" role="img" '
        f'aria-label="Learning curve. {told}">{"".join(drawn)}</svg>'
    )


def _grid(axes: _Axes, points: Sequence[CurvePoint]) -> str:
    lines = [
        f'<line class="grid" x1="{axes.LEFT}" x2="{axes.WIDTH - axes.RIGHT}" y1="{axes.y(value):.1f}" '
        f'y2="{axes.y(value):.1f}"/><text class="faint" x="{axes.LEFT - 6}" y="{axes.y(value) + 4:.1f}" '
        f'text-anchor="end">{value}%</text>'
        for value in range(axes.floor, 101, axes.step)
    ]
    lines += [
        f'<text class="faint" x="{axes.x(one.photos):.1f}" y="{axes.HEIGHT - 22:.0f}" text-anchor="middle">'
        f"{one.photos:.0f}</text>"
        for one in points
    ]
    middle = (axes.LEFT + axes.WIDTH - axes.RIGHT) / 2
    lines.append(
        f'<text class="faint" x="{middle:.0f}" y="{axes.HEIGHT - 4:.0f}" text-anchor="middle">photos per class</text>'
    )
    return "".join(lines)


def _point(axes: _Axes, point: CurvePoint, measured: bool) -> str:
    x, top, low = axes.x(point.photos), axes.y(point.interval.high), axes.y(point.interval.low)
    name = "dot" if measured else "open"
    return (
        f'<line class="line" stroke-opacity="0.45" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{low:.1f}"/>'
        f'<circle class="{name}" cx="{x:.1f}" cy="{axes.y(point.accuracy):.1f}" r="5"/>'
    )


def heat_svg(photos: Sequence[PhotoFacts], class_names: Sequence[str]) -> str:
    """Draw the confusion matrix of many classes: one square for each pair that occurs; rows are the labels."""
    pairs = Counter((photo.given, photo.predicted) for photo in photos if photo.predicted is not None)
    totals = Counter(photo.given for photo in photos if photo.predicted is not None)
    count = len(class_names)
    margin = 126 if count <= NAMED_CLASSES else 6
    side = (620 - margin) / count
    cells = "".join(
        f'<rect class="{"good" if given == answer else "bad"}" x="{margin + answer * side:.2f}" '
        f'y="{margin + given * side:.2f}" width="{side:.2f}" height="{side:.2f}" '
        f'fill-opacity="{0.3 + 0.7 * number / totals[given]:.2f}"><title>{number} of {totals[given]} photos of '
        f"{safe(class_names[given])} are taken for {safe(class_names[answer])}</title></rect>"
        for (given, answer), number in sorted(pairs.items())
    )
    names = "".join(_names(index, name, margin, side) for index, name in enumerate(class_names) if margin > 6)
    return (
        '<svg class="heat" font-size="12" viewBox="0 0 624 624" role="img" aria-label="Confusion matrix: rows are '
        f'the labels, columns the answers. The mix-ups are listed below."><rect class="box" x="{margin}" y="{margin}" '
        f'width="{620 - margin}" height="{620 - margin}"/>{cells}{names}</svg>'
    )


def _names(index: int, name: str, margin: int, side: float) -> str:
    at = margin + (index + 0.5) * side
    text, size = safe(name, 16), min(12.0, side)
    base = f"{at + size / 3:.1f}"
    return (
        f'<text x="{margin - 5}" y="{base}" text-anchor="end" font-size="{size:.0f}">{text}</text>'
        f'<text transform="translate({base} {margin - 5}) rotate(-90)" font-size="{size:.0f}">{text}</text>'
    )
