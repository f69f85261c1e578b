"""What is known about a kept photo: JSON in a comment of its JPEG, so that photo and facts are one file and stay one.

The photo's name tells the session in which it was taken. The session of field-20261130-091403-3f2a9c81b0d4-000012.jpg
began at that time (UTC), and its twelve digits are random, so that no other session of any device has the same name.
The last number counts the photos of the folder.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import is_number, json_text, read_json

SCHEMA = "edgenet.field.v1"
MARKED = "marked"
REASONS = ("unknown", "close", MARKED)
LONGEST = 16_000
"""The most bytes of the facts as JSON. A JPEG's comment can have 65,533."""
HEAD_BYTES = 20_000
"""So many bytes from the beginning of a kept photo are enough to read its facts."""
MOST_SCORES = 20
PHOTO_NAME = re.compile(r"field-(\d{8}-\d{6}-[0-9a-f]{12})-(\d{6,12})\.jpg")
_TEXT, _NUMBER = (str,), (int, float)
_ENTRIES: dict[str, tuple[type, ...]] = {
    "reason": _TEXT,
    "doubt": _NUMBER,
    "label": (str, type(None)),
    "top": (list,),
    "said": (str, type(None)),
    "time": _TEXT,
    "clock_set": (bool,),
    "looks": _TEXT,
    "device": _TEXT,
    "model": _TEXT,
    "model_sha256": _TEXT,
}


@dataclass(frozen=True)
class PhotoFacts:
    """What is known about a kept photo.

    Attributes:
        reason: one of REASONS: why it was kept.
        doubt: how unsure the network was, 0 to 1.
        label: the label that was shown; None for nothing the network knows.
        top: (label, score) of the best classes, the best first.
        said: the class that a person says is right; None if nobody said one.
        time: the wall clock's time, as in events.
        clock_set: False if that clock was evidently never set.
        looks: difference hash of the picture, 16 hexadecimal digits.
        device: the device's host name.
        model: the model file's name; `model_sha256` is its SHA-256.
    """

    reason: str
    doubt: float
    label: str | None
    top: tuple[tuple[str, float], ...]
    said: str | None
    time: str
    clock_set: bool
    looks: str
    device: str
    model: str
    model_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return the facts in JSON's types, with their schema."""
        top = [{"label": label, "score": round(score, 4)} for label, score in self.top]
        return {"schema": SCHEMA, **asdict(self), "top": top}


def with_facts(jpeg: bytes, facts: PhotoFacts) -> bytes:
    """Return a JPEG with the facts in a comment, after its JFIF header.

    Raises:
        EdgenetError: the facts are longer than LONGEST, or the bytes are no JPEG.
    """
    text = json_text(facts.as_dict()).encode()
    if len(text) > LONGEST or jpeg[:2] != b"\xff\xd8":
        raise EdgenetError("the facts about a photo are too long, or it is no JPEG")
    at = 2
    if jpeg[2:4] == b"\xff\xe0":  # a JFIF header has to be the first segment
        at = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:at] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[at:]


def read_facts(jpeg: bytes) -> PhotoFacts:
    """Return the facts that a kept photo holds.

    Args:
        jpeg: the file, or at least its first HEAD_BYTES.

    Raises:
        EdgenetError: it holds none, or they are damaged.
    """
    try:
        found = read_json(_comment(jpeg), LONGEST)
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        return _facts(found)
    except ValueError as error:
        raise EdgenetError(f"the photo holds no facts that edgenet knows: {str(error)[:200]}") from None


def _comment(jpeg: bytes) -> bytes:
    """Return the JPEG's first comment.

    Raises:
        ValueError: there is none.
    """
    at = 2
    while jpeg[:2] == b"\xff\xd8" and jpeg[at : at + 1] == b"\xff" and at + 4 <= len(jpeg):
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] == 0xFE:
            return jpeg[at + 4 : end]
        if jpeg[at + 1] == 0xDA:  # here the picture begins
            break
        at = end
    raise ValueError("there is no comment in it")


def _facts(found: dict[str, Any]) -> PhotoFacts:
    for name, types in _ENTRIES.items():
        # Exact types: in Python, True is an int.
        if name not in found or type(found[name]) not in types:
            raise ValueError(f"{name} is missing or of a wrong type")
    if found["reason"] not in REASONS or not _is_share(found["doubt"]):
        raise ValueError("its reason is unknown, or its doubt is not between 0 and 1")
    if not re.fullmatch("[0-9a-f]{16}", found["looks"]) or len(found["top"]) > MOST_SCORES:
        raise ValueError("its looks are not 16 hexadecimal digits, or it has too many scores")
    top = []
    for one in found["top"]:
        if not isinstance(one, dict) or type(one.get("label")) is not str or not _is_share(one.get("score")):
            raise ValueError("an entry of top is no label with a score")
        top.append((one["label"], float(one["score"])))
    values = {name: found[name] for name in _ENTRIES}
    return PhotoFacts(**{**values, "doubt": float(found["doubt"]), "top": tuple(top)})


def _is_share(value: Any) -> bool:
    return type(value) in _NUMBER and math.isfinite(value) and 0 <= value <= 1


def photo_number(name: str) -> int | None:
    """Return the number in a kept photo's name; None for any other name."""
    found = PHOTO_NAME.fullmatch(name)
    return int(found[2]) if found and is_number(found[2]) else None
