"""The page of a training on one's own photos: what it is worth, which photos to look at, and what to photograph next.

The page is one file that needs no network. Its only script adds the buttons with which photos are ticked, and a content
security policy lets no other script or style run, whatever a file or a class is called.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.figures.page_parts import (
    LICENCE_NOTE,
    MOST_PICTURES,
    Picture,
    Pictures,
    safe,
    script_json,
    shown,
)
from edgenet.figures.teaching_facts import ClassFacts as ClassFacts
from edgenet.figures.teaching_facts import Int8Beside as Int8Beside
from edgenet.figures.teaching_facts import JudgedAccuracy as JudgedAccuracy
from edgenet.figures.teaching_facts import Mixup as Mixup
from edgenet.figures.teaching_facts import PhotoFacts as PhotoFacts
from edgenet.figures.teaching_facts import TeachingReport as TeachingReport
from edgenet.figures.teaching_facts import UnknownFigures as UnknownFigures
from edgenet.figures.teaching_facts import look_alikes as look_alikes
from edgenet.figures.teaching_facts import photo_facts as photo_facts
from edgenet.figures.teaching_sections import SECTIONS, headline
from edgenet.files import write_atomically

PICTURE_SIDE = 176
"""The longer side of the page's pictures, pixels."""
_QUALITY = 72
_ASSETS = resources.files("edgenet.figures").joinpath("assets")


def write_report(path: Path, report: TeachingReport, picture: Picture) -> None:
    """Write the page.

    Args:
        path: the .html file.
        report: the facts on it.
        picture: returns the JPEG of the photo at an index of `report.photos`; see `photo_picture`.

    Raises:
        EdgenetError: the file cannot be written.
    """
    write_atomically(path, teaching_page(report, picture).encode())


def photo_picture(photos: PhotoSet) -> Picture:
    """Return the function that reads a photo of a set and makes a small JPEG of it, or None if it cannot be read."""

    def picture(index: int) -> bytes | None:
        try:
            return small_jpeg(photos.read(index))
        except EdgenetError:
            return None

    return picture


def small_jpeg(photo: np.ndarray) -> bytes:
    """Return a JPEG of a photo, uint8 BGR [height, width, 3], whose longer side is at most `PICTURE_SIDE` pixels."""
    height, width = photo.shape[:2]
    scale = min(1.0, PICTURE_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def teaching_page(report: TeachingReport, picture: Picture, most_pictures: int = MOST_PICTURES) -> str:
    """Return the page's HTML.

    Args:
        report: the facts on it.
        picture: returns the JPEG of the photo at an index of `report.photos`.
        most_pictures: number of pictures that the page may hold.
    """
    pictures = Pictures(report, picture, most_pictures)
    parts = [(section, text) for section in SECTIONS if (text := section.make(report, pictures))]
    links = "".join(f'<li><a href="#{part.id}">{part.name}</a></li>' for part, _ in parts)
    body = "\n".join(
        f'<section id="{part.id}" aria-labelledby="{part.id}-title"><h2 id="{part.id}-title">{part.heading}</h2>'
        f"{text}</section>"
        for part, text in parts
    )
    style, script = (
        _ASSETS.joinpath(f"teaching.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")
    )
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{LICENCE_NOTE}
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{safe(report.title)}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the figures</a>
<header>
<h1>{safe(report.title, 120)}</h1>
<p class="lead">{safe(report.variant)} on the photos in <bdi>{safe(report.data, 200)}</bdi></p>
</header>
<nav aria-label="Parts of this page"><ul>{links}</ul></nav>
<main id="main">
{headline(report)}
{body}
</main>
<footer><p>Made by edgenet train. Nothing on this page is sent anywhere, and no photo is changed by it.</p></footer>
<script type="application/json" id="review-data">{_review_data(report, pictures)}</script>
<script>{script}</script>
</body>
</html>
"""


def _source(text: str) -> str:
    """Return what lets an inline style or script run: the hash of its text (Content Security Policy Level 2)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def review_command(report: TeachingReport) -> str:
    """Return the command that does what was ticked, or writes it as a list where the photos lie in a zip."""
    done = "" if report.movable else " --list review.csv"
    return f"edgenet train --review review.json --data {shlex.quote(shown(report.data, 400))}{done}"


def _review_data(report: TeachingReport, pictures: Pictures) -> str:
    """Return what the script knows of the photos that can be ticked."""
    photos = [
        {
            "id": index,
            "file": photo.file,
            "shown": shown(photo.file, 60),
            "sha256": photo.sha256,
            "given": photo.given,
        }
        for index, photo in sorted(pictures.photos.items())
    ]
    contents = "".join(f"{photo.file}\0{photo.sha256}\0" for photo in report.photos)
    return script_json(
        {
            "key": hashlib.sha256(contents.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            "data": report.data,
            "command": review_command(report),
            "classes": list(report.class_names),
            "shown": [shown(name, 40) for name in report.class_names],
            "photos": photos,
        }
    )
