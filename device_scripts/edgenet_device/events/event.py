"""One event, as it is sent and stored: `edgenet.event.v1`. docs/events.md describes every entry."""

from __future__ import annotations

import math
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.events.watcher import KINDS, Happening
from edgenet_device.foreign_text import LONGEST_LINE, json_text, one_line, read_json

SCHEMA = "edgenet.event.v1"
LONGEST_EVENT = 16_384
"""The most bytes of an event as JSON."""
CLOCK_SET_FROM = 1_750_000_000
"""June 2025, seconds since 1970. A clock that is earlier was never set: edgenet is younger. Many a Raspberry Pi has no
clock that runs without power, and starts in 1970, or where it was switched off, until the network tells it the time."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TEXT, _NUMBER = (str,), (int, float)
_OPTIONAL_TEXT, _OPTIONAL_NUMBER = (str, type(None)), (int, float, type(None))
ENTRIES: dict[str, tuple[type, ...]] = {
    "schema": _TEXT,
    "id": _TEXT,
    "sequence": (int,),
    "kind": _TEXT,
    "label": _OPTIONAL_TEXT,
    "score": _OPTIONAL_NUMBER,
    "seconds": _OPTIONAL_NUMBER,
    "detail": _OPTIONAL_TEXT,
    "time": _TEXT,
    "clock_set": (bool,),
    "monotonic_s": _NUMBER,
    "boot": _OPTIONAL_TEXT,
    "frame": (int, type(None)),
    "device": _TEXT,
    "model": _TEXT,
    "model_sha256": _TEXT,
}
"""Every entry of an event, in order, with its types in Python."""


@dataclass(frozen=True)
class Event:
    """An event: a happening with its identity and its times.

    Attributes:
        happening: what happened.
        entries: all entries of `edgenet.event.v1`, in JSON's types.
    """

    happening: Happening
    entries: dict[str, Any]

    @property
    def id(self) -> str:
        """The event's identity, which no other event of any device has."""
        return str(self.entries["id"])

    def line(self) -> str:
        """Return the event as one line of JSON, without the line break."""
        return json_text(self.entries)


class EventMaker:
    """Makes events of happenings: numbers them and takes the time.

    Args:
        model: the model file's name.
        model_sha256: its SHA-256.
    """

    def __init__(self, model: str, model_sha256: str) -> None:
        # A counter alone would begin again at each start, and a time may be that of 1970 twice.
        self._run = secrets.token_hex(8)
        self._sequence = 0
        self._boot = _boot_id()
        self._facts = {
            "device": one_line(socket.gethostname()),
            "model": one_line(model),
            "model_sha256": model_sha256,
        }

    def make(self, happening: Happening, frame: int | None) -> Event:
        """Return the event of a happening, at this moment.

        Args:
            frame: number of the frame that it was seen in; None if there is none.
        """
        self._sequence += 1
        now = time.time()
        entries = {
            "schema": SCHEMA,
            "id": f"{self._run}-{self._sequence}",
            "sequence": self._sequence,
            "kind": happening.kind,
            "label": None if happening.label is None else one_line(happening.label),
            "score": None if happening.score is None else round(happening.score, 4),
            "seconds": None if happening.seconds is None else round(happening.seconds, 3),
            "detail": None if happening.detail is None else one_line(happening.detail, LONGEST_LINE),
            "time": time_text(now),
            "clock_set": now >= CLOCK_SET_FROM,
            "monotonic_s": round(time.monotonic(), 3),
            "boot": self._boot,
            "frame": frame,
            **self._facts,
        }
        return Event(happening, entries)


def time_text(seconds: float) -> str:
    """Return a time, seconds since 1970, as text (RFC 3339, in UTC, to the millisecond)."""
    return (
        datetime.fromtimestamp(seconds, timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _boot_id() -> str | None:
    """Return what Linux calls this boot: two monotonic times can only be compared within one."""
    try:
        return one_line(_BOOT.read_text(encoding="ascii")) or None
    except (OSError, ValueError):
        return None


def read_event(line: bytes) -> dict[str, Any]:
    """Return the entries of an event that was stored as a line of JSON.

    Raises:
        EdgenetError: the line is not an event of `edgenet.event.v1`; the message names the entry.
    """
    try:
        value = read_json(line, LONGEST_EVENT)
    except ValueError as error:
        raise EdgenetError(f"the line is not JSON: {error}") from None
    check_event(value)
    return dict(value)


def check_event(value: Any) -> None:
    """Check that a value is an event of `edgenet.event.v1`. Entries that this version does not know are allowed.

    Raises:
        EdgenetError: it is not; the message names the first entry that is wrong.
    """
    if not isinstance(value, dict):
        raise EdgenetError("an event is a JSON object")
    if value.get("schema") != SCHEMA:
        raise EdgenetError(f"an event has the schema {SCHEMA}, not {str(value.get('schema'))[:100]!r}")
    for name, types in ENTRIES.items():
        # Exact types: in Python, True is an int.
        if name not in value or type(value[name]) not in types:
            raise EdgenetError(f"the event's entry {name} is missing or of a wrong type")
    if value["kind"] not in KINDS:
        raise EdgenetError(f"there is no event of the kind {value['kind'][:100]!r}")
    if not value["id"] or value["sequence"] < 1:
        raise EdgenetError("the event has no id or no positive sequence number")
    if value["score"] is not None and not 0 <= value["score"] <= 1:
        raise EdgenetError(f"the event's score {value['score']} is not between 0 and 1")
    if value["seconds"] is not None and not (math.isfinite(value["seconds"]) and value["seconds"] >= 0):
        raise EdgenetError("the event's seconds are negative")
    _check_time(value["time"])


def _check_time(text: str) -> None:
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        raise EdgenetError(f"{text[:100]!r} is not a time such as 2026-11-30T01:02:03.456Z") from None
