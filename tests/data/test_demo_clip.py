"""The clip that `edgenet demo` classifies: it plays, and its licence is documented."""

from __future__ import annotations

import json
from pathlib import Path

import cv2

from edgenet.files import sha256

FOLDER = Path(__file__).resolve().parents[2] / "edgenet" / "assets"


def test_record():
    record = json.loads((FOLDER / "clip.json").read_text(encoding="utf-8"))
    assert record["sha256"] == sha256(FOLDER / "clip.mp4")
    assert record["licence"] == " AND ".join(part["licence"] for part in record["parts"])
    notice = (FOLDER / "clip.LICENSE.txt").read_text(encoding="utf-8")
    for part in record["parts"]:
        assert part["author"].split(" and ")[-1].removeprefix("the ") in notice
        assert len(part["source"]["sha256"]) == 64
    assert (FOLDER / "clip.mp4").stat().st_size < 1_500_000


def test_every_frame_can_be_decoded():
    video = cv2.VideoCapture(str(FOLDER / "clip.mp4"))
    frames = 0
    while (read := video.read())[0]:
        assert read[1].shape == (480, 640, 3)
        frames += 1
    assert frames == 149
    assert video.get(cv2.CAP_PROP_FPS) == 20
