"""Collecting photos: labels are never used as paths, and blurred and repeated photos are left out."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.collecting.collector import (
    ALIKE,
    BLURRED,
    BLURRED_BELOW,
    Collector,
    EverySeconds,
    Photo,
    class_folder,
    collect,
    measuring_grey,
    sharpness,
)
from model_files import Run

from edgenet.errors import EdgenetError

PHOTOS = sorted((Path(__file__).resolve().parents[2] / "calibration_data").glob("*.jpg"))


def photo(number: int) -> np.ndarray:
    return cv2.imread(str(PHOTOS[number]))


@pytest.mark.parametrize(
    "label", ["..", ".", "", "a/b", "/etc", "-rf", "a\\b", "a\nb", " a", "x" * 81, "a\x00b"]
)
def test_a_label_is_never_a_path(label: str, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="cannot be the name"):
        class_folder(tmp_path / "data", label)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("label", ["cup", "Müslischale 2", "$(reboot)", "<b>owl</b>;ls"[3:6]])
def test_a_plain_label_is_a_folder(label: str, tmp_path: Path) -> None:
    assert class_folder(tmp_path, label) == tmp_path / label


def test_blurred_photos_are_distinguished_from_sharp_ones() -> None:
    """The figures that BLURRED_BELOW was chosen by, on other photos."""
    sharp = [sharpness(measuring_grey(photo(number))) for number in range(40)]
    blurred = [sharpness(cv2.GaussianBlur(measuring_grey(photo(number)), (0, 0), 2)) for number in range(40)]
    assert sum(value < BLURRED_BELOW for value in sharp) <= 2
    assert sum(value < BLURRED_BELOW for value in blurred) >= 38


def test_only_sharp_and_new_photos_are_kept(tmp_path: Path) -> None:
    noisy = np.clip(photo(0) + np.random.default_rng(0).normal(0, 4, photo(0).shape), 0, 255).astype(np.uint8)
    collector = Collector(class_folder(tmp_path, "cup"))
    assert isinstance(collector.offer(Photo(photo(0))), Path)
    assert collector.offer(Photo(noisy)) == ALIKE
    assert collector.offer(Photo(cv2.GaussianBlur(photo(1), (0, 0), 5))) == BLURRED
    assert isinstance(collector.offer(Photo(photo(1))), Path)
    # Another day: what is there already counts.
    again = Collector(tmp_path / "cup")
    assert again.offer(Photo(photo(0))) == ALIKE
    assert isinstance(again.offer(Photo(photo(2))), Path)
    assert len(list((tmp_path / "cup").glob("*.jpg"))) == 3


def test_the_names_of_the_photos_say_their_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(["session-20260314-101500", "session-20260314-102000", "session-20260314-102000"])
    monkeypatch.setattr("time.strftime", lambda _: next(clock))
    folder = class_folder(tmp_path, "cup")
    for numbers in ((0, 1), (2,), (3,)):  # the third session begins in the same second as the second one
        collector = Collector(folder)
        assert all(isinstance(collector.offer(Photo(photo(number))), Path) for number in numbers)
    assert sorted(path.name for path in folder.iterdir()) == [
        "session-20260314-101500-001.jpg",
        "session-20260314-101500-002.jpg",
        "session-20260314-102000-001.jpg",
        "session-20260314-102000-002.jpg",
    ]


def test_why_a_photo_is_not_kept_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    photos = [Photo(photo(0))] * 5 + [Photo(photo(1)), Photo(photo(2))]
    collect(photos, Collector(class_folder(tmp_path, "cup")), EverySeconds(0), said.append, count=2)
    assert [line.split(":")[0] for line in said] == ["1", ALIKE.split(":")[0], "2"]


def test_the_script_and_what_it_refuses(run_copied: Run, tmp_path: Path) -> None:
    folder = PHOTOS[0].parent
    done = run_copied("capture.py", "cup", tmp_path / "data", folder, "--count", 4)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "4 photos kept"
    assert len(list((tmp_path / "data" / "cup").glob("*.jpg"))) == 4
    refused = run_copied("capture.py", "../cup", tmp_path / "data", folder)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: '../cup' cannot be the name")


def test_photos_are_sent_as_they_were_seen(run_copied: Run, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), photo(3))
    done = run_copied("edgenet_device", "send-photos", tmp_path / "one.png")
    (sent,) = map(json.loads, done.stdout.splitlines())
    jpeg = np.frombuffer(base64.b64decode(sent["jpeg"]), np.uint8)
    difference = np.abs(cv2.imdecode(jpeg, cv2.IMREAD_COLOR).astype(int) - photo(3))
    assert difference.mean() < 4
