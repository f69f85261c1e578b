"""Targets of learning from the field: facts in photos, counts by day, corrections on the page, what is collected."""

from __future__ import annotations

import io
import json
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgenet.errors import EdgenetError
from tools.fuzz.mutations import BINARY, TEXT, json_changed
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target

_ID = b"@ID@"
"""In an input it stands for the picture that the person has frozen."""
_STATE: dict[str, Any] = {
    "type": "frame",
    "label": "cat",
    "top": [{"index": 0, "label": "cat", "score": 0.6}, {"index": 1, "label": "dog", "score": 0.5}],
    "moment_s": 1.0,
}


@cache
def photo_seeds() -> dict[str, bytes]:
    """Return kept photos: one that the network was unsure of, and one that a person corrected."""
    from edgenet_device.field.photo_facts import PhotoFacts, with_facts

    jpeg = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    top = (("cat", 0.6), ("dog", 0.5))
    rest = ("2026-11-30T09:14:03.512Z", True, "00ff00ff00ff00ff", "pi", "m.edgenet", "0" * 64)
    return {
        "close": with_facts(jpeg, PhotoFacts("close", 0.9, "cat", top, None, *rest)),
        "marked": with_facts(jpeg, PhotoFacts("marked", 0.1, None, top, "dog", *rest)),
    }


def kept_photo(folder: Path) -> Check:
    """Read the input as a kept photo."""
    from edgenet_device.field.photo_facts import read_facts, with_facts

    sound = photo_seeds()["close"]

    def check(data: bytes) -> None:
        facts = read_facts(data)
        assert read_facts(with_facts(sound, facts)).label == facts.label

    return check


@cache
def count_seeds() -> dict[str, bytes]:
    """Return counts by day: of one model, and of two."""
    days = [["2026-11-29", 900, 30, 700.5], ["2026-11-30", 5, 0, 4.1]]
    series = [{"of": "aa 0.3", "days": days}, {"of": "bb 0.5", "days": days[:1]}]
    return {
        name: json.dumps({"schema": "edgenet.drift.v1", "series": some}).encode()
        for name, some in (("one", series[:1]), ("two", series))
    }


def daily_counts(folder: Path) -> Check:
    """Read the input as the counts by day, and sum them up."""
    from edgenet_device.field.daily_counts import drift_of, read_series

    def check(data: bytes) -> None:
        for days in read_series(data).values():
            drift = drift_of(list(days.values()), "2026-12-01")
            assert drift is None or drift.days >= 2

    return check


@cache
def correction_seeds() -> dict[str, bytes]:
    """Return what the page sends: a class of the model, another one, and one for no picture."""
    return {
        "known": b'{"id": "@ID@", "said": "dog"}',
        "other": b'{"id": "@ID@", "said": "coffee cup"}',
        "gone": b'{"id": "0123456789abcdef", "said": "dog"}',
    }


def correction(folder: Path) -> Check:
    """Freeze a picture, and read the input as a correction of it."""
    from edgenet_device.field.keeper import PhotoKeeper
    from edgenet_device.field.kept_photos import KeptPhotos
    from edgenet_device.live.page import Correcting

    kept = folder / "kept"
    keeper = PhotoKeeper(KeptPhotos(kept, 10**9), (Path("m"), "0"), ["cat", "dog"], lambda part, why: None)
    correcting = Correcting(keeper, lambda: (_STATE, np.zeros((16, 16, 3), np.uint8)))

    def check(data: bytes) -> None:
        name = json.loads(correcting.freeze().body)["id"]  # type: ignore[arg-type]
        answer = correcting.correct(data.replace(_ID, name.encode()))
        written = list(kept.iterdir())
        assert len(written) == (answer.status == 200), written
        for path in written:
            path.unlink()
        if answer.status != 200:
            raise EdgenetError(f"answered with {answer.status}")

    return check


@cache
def collecting_seeds() -> dict[str, bytes]:
    """Return tars of a device's photos, and records of what has come over."""
    photo, name = photo_seeds()["close"], "field-20261130-091403-3f2a9c81b0d4-000001.jpg"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for one in (name, "../outside.jpg"):
            member = tarfile.TarInfo(one)
            member.size = len(photo)
            archive.addfile(member, io.BytesIO(photo))
    line = json.dumps({"name": name, "sha256": "0" * 64, "folder": "dog"}).encode() + b"\n"
    return {"tar": packed.getvalue(), "record": line, "torn": line + line[:30]}


def collecting(folder: Path) -> Check:
    """Read the input as the tar that a device sends, and as the record of an earlier run."""
    from edgenet.devices.field_photos import read_sums, unpacked
    from edgenet.workflows.collect import RECORD, read_record

    name = "field-20261130-091403-3f2a9c81b0d4-000001.jpg"

    def check(data: bytes) -> None:
        (folder / RECORD).write_bytes(data)
        taken = len(read_record(folder / RECORD)) + len(read_sums(data))
        for found, _ in unpacked(data, [name]):
            assert found == name
            taken += 1
        if not taken:
            raise EdgenetError("no photo")

    return check


TARGETS = (
    Target(
        "collecting",
        "photos and records of collecting",
        ("edgenet.workflows.collect",),
        collecting_seeds,
        (*BINARY, json_changed, *TEXT),
        collecting,
    ),
    Target(
        "kept-photo",
        "facts within kept photos",
        ("edgenet_device.field.photo_facts",),
        photo_seeds,
        (*BINARY, *TEXT),
        kept_photo,
    ),
    Target(
        "daily-counts",
        "counts by day",
        ("edgenet_device.field.daily_counts",),
        count_seeds,
        (json_changed, *TEXT),
        daily_counts,
    ),
    Target(
        "correction",
        "corrections that the live page sends",
        ("edgenet_device.live.page",),
        correction_seeds,
        (json_changed, *TEXT),
        correction,
    ),
)
