"""The small parts of the page of a training: other people's names made harmless, pictures, numbers, lists."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from edgenet_device.foreign_text import LONGEST_LINE, printable

from edgenet.figures.teaching_facts import PhotoFacts, TeachingReport

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
