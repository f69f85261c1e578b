"""Photos that the live camera keeps to learn from: which, how many, and what is known about each."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edgenet_device.errors import EdgenetError
from edgenet_device.field.keeper import (
    CLOSE_TOGETHER,
    TRY_S,
    UNKNOWN,
    UNSURE_S,
    Doubt,
    DoubtWatcher,
    PhotoKeeper,
    doubt_of,
)
from edgenet_device.field.kept_photos import MOST_AN_HOUR, PAUSE_S, SESSION_PAUSE_S, KeptPhotos
from edgenet_device.field.photo_facts import HEAD_BYTES, PHOTO_NAME, PhotoFacts, read_facts, with_facts
from edgenet_device.frames.photos import read_photo
from field_facts import FACTS
from model_files import Run

TOP = [{"label": "cat", "score": 0.5, "index": 0}, {"label": "dog", "score": 0.4, "index": 1}]


def pattern(seed: int) -> np.ndarray:
    """A scene of its own: eight by nine random squares."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), np.uint8)
    return cv2.resize(small, (180, 160), interpolation=cv2.INTER_NEAREST)


def jpeg(seed: int = 0) -> bytes:
    return cv2.imencode(".jpg", pattern(seed))[1].tobytes()


def facts(doubt: float = 0.5, **more: Any) -> PhotoFacts:
    return PhotoFacts(**{**FACTS.__dict__, "doubt": doubt, **more})


def marked(**more: Any) -> PhotoFacts:
    return facts(reason="marked", said="dog", **more)


def state(number: int, label: str | None = "cat", top: list[dict[str, Any]] = TOP) -> dict[str, Any]:
    return {"type": "frame", "moment_s": number / 10, "label": label, "top": top}


@pytest.mark.parametrize(
    ("label", "scores", "expected"),
    [
        ("cat", (("cat", 0.9), ("dog", 0.05)), None),
        ("cat", (("cat", 0.5), ("dog", 0.45)), Doubt(CLOSE_TOGETHER, 0.95)),
        (None, (("cat", 0.2), ("dog", 0.1)), Doubt(UNKNOWN, 0.8)),
        (None, (("nothing I know", 0.97), ("dog", 0.02)), Doubt(UNKNOWN, 0.98)),
        ("cat", (("cat", 0.5),), None),
    ],
)
def test_doubt(label: str | None, scores: tuple[tuple[str, float], ...], expected: Doubt | None) -> None:
    top = [{"label": name, "score": score} for name, score in scores]
    assert doubt_of({"label": label, "top": top}) == expected


def test_a_photo_is_due_when_every_frame_was_unsure_for_a_while() -> None:
    watcher, unsure = DoubtWatcher(), Doubt(UNKNOWN, 0.9)
    due = [watcher.frame(number / 8, unsure if number != 5 else None) for number in range(60)]
    first = 6 + round(UNSURE_S * 8)
    assert [number for number, is_due in enumerate(due) if is_due] == list(range(first, 60, round(TRY_S * 8)))


def test_the_facts_are_within_the_photo_which_stays_the_same_photo() -> None:
    photo = with_facts(jpeg(), FACTS)
    assert read_facts(photo) == read_facts(photo[:HEAD_BYTES]) == FACTS
    assert (read_photo(photo) == read_photo(jpeg())).all()
    assert photo[2:4] == b"\xff\xe0"  # JFIF's header is still the first segment


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        jpeg(),
        with_facts(jpeg(), FACTS).replace(b"edgenet.field.v1", b"edgenet.field.v9"),
        with_facts(jpeg(), FACTS).replace(b'"doubt": 0.5', b'"doubt": 7.5'),
        with_facts(jpeg(), FACTS).replace(b'"clock_set": true', b'"clock_set": "it"'),
        with_facts(jpeg(), FACTS)[:100],
    ],
    ids=("empty", "none", "schema", "doubt", "type", "torn"),
)
def test_damaged_facts_are_refused(damaged: bytes) -> None:
    with pytest.raises(EdgenetError, match="holds no facts"):
        read_facts(damaged)


def test_photos_are_spread_in_time_and_by_looks(tmp_path: Path) -> None:
    photos = KeptPhotos(tmp_path, 10**6)
    looks = int(FACTS.looks, 16)
    assert photos.is_new(looks, 0.0)
    photos.keep(jpeg(), FACTS, 0.0)
    other = looks ^ 0xFFFF_FFFF
    assert not photos.is_new(other, PAUSE_S - 1)
    assert photos.is_new(other, PAUSE_S)
    assert not photos.is_new(looks ^ 0b111111, PAUSE_S)  # six bits differ
    assert photos.is_new(looks ^ 0b1111111, PAUSE_S)
    assert not KeptPhotos(tmp_path, 10**6).is_new(looks, PAUSE_S)  # also after a new start
    small = cv2.imencode(".jpg", pattern(0)[:8, :8])[1].tobytes()
    for number in range(1, MOST_AN_HOUR):
        photos.keep(small, facts(looks=f"{number << 32:016x}"), number * PAUSE_S)
    assert not photos.is_new(other, 3599.0)
    assert photos.is_new(other, 3600.0)


def test_the_oldest_and_least_interesting_go_first_and_what_a_person_marked_stays(tmp_path: Path) -> None:
    size = len(with_facts(jpeg(), facts(0.1111)))
    photos = KeptPhotos(tmp_path, 4 * size + size // 2)
    photos.keep(jpeg(), marked(doubt=0.0001), 0.0)
    doubts = (0.9999, 0.1111, 0.8888, 0.2222, 0.1234)
    for number, doubt in enumerate(doubts, 1):
        photos.keep(jpeg(), facts(doubt), number * PAUSE_S)
    kept = [read_facts(path.read_bytes()) for path in sorted(tmp_path.iterdir())]
    assert [one.doubt for one in kept] == [0.0001, 0.9999, 0.8888, 0.1234]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4.5 * size
    for number in range(3):
        photos.keep(jpeg(), marked(), 100.0 + number)
    assert [read_facts(path.read_bytes()).reason for path in sorted(tmp_path.iterdir())] == ["marked"] * 4
    with pytest.raises(EdgenetError, match=r"a photo of 0\.0 MB is more than the budget"):
        KeptPhotos(tmp_path, size // 2).keep(jpeg(), marked(), 0.0)
    for one in (marked(), facts(1.0)):
        with pytest.raises(EdgenetError, match="photos that people marked fill"):
            photos.keep(jpeg(), one, 1000.0)
    assert len(list(tmp_path.iterdir())) == 4


def test_names_tell_the_session_and_two_cameras_may_share_a_folder(tmp_path: Path) -> None:
    one, other = KeptPhotos(tmp_path, 10**6), KeptPhotos(tmp_path, 10**6)
    moments = (0.0, 20.0, 40.0 + SESSION_PAUSE_S)
    names = [photos.keep(jpeg(), FACTS, moment).name for moment in moments for photos in (one, other)]
    found = [PHOTO_NAME.fullmatch(name) for name in names]
    assert [int(name[2]) for name in found if name] == [1, 2, 3, 4, 5, 6]
    sessions = [name[1] for name in found if name]
    assert sessions[0] == sessions[2] != sessions[4]
    assert len(set(sessions)) == 4


def test_files_of_others_are_neither_counted_nor_removed(tmp_path: Path) -> None:
    mine = tmp_path / "field-20261130-091403-3f2a9c81b0d4-000001.jpg"
    mine.write_bytes(b"x" * 5000)  # named like a kept photo, and none
    (tmp_path / "cat.jpg").write_bytes(b"x" * 5000)
    os.symlink(tmp_path / "cat.jpg", tmp_path / "field-20261130-091403-3f2a9c81b0d4-000002.jpg")
    photos = KeptPhotos(tmp_path, len(with_facts(jpeg(), FACTS)) + 100)
    for moment in (0.0, 20.0):
        photos.keep(jpeg(), FACTS, moment)
    assert len(list(tmp_path.iterdir())) == 4
    assert mine.stat().st_size == 5000


def test_a_full_disk_is_one_trouble_and_leaves_no_half_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, told = KeptPhotos(tmp_path, 10**6), []
    keeper = PhotoKeeper(photos, (Path("m"), "0"), ["cat", "dog"], lambda part, why: told.append(why))
    usage = namedtuple("usage", "free")
    with keeper:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6))
        offer(keeper, range(300))
        monkeypatch.undo()

        def fsync(handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(EdgenetError, match=f"{tmp_path} cannot be written: No space left on device"):
            keeper.keep_marked(jpeg(), state(0), "dog")
        monkeypatch.undo()
        assert list(tmp_path.iterdir()) == []
        offer(keeper, range(300, 400))
    assert [str(why).partition(" in ")[0] for why in told] == ["less than 64 MB are free", "None"]
    assert len(list(tmp_path.iterdir())) == 1


def offer(keeper: PhotoKeeper, numbers: range) -> None:
    """Show frames, and wait until the thread is done with those that it took."""
    for number in numbers:
        keeper.show(state(number), pattern(number))
        while keeper._waiting or not keeper._changed._waiters:  # it waits for more once it is done
            threading.Event().wait(0.002)


def test_the_frames_never_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, hanging = KeptPhotos(tmp_path, 10**6), threading.Event()
    monkeypatch.setattr(photos, "is_new", lambda looks, now: hanging.wait(30))
    with PhotoKeeper(photos, (Path("m"), "0"), ["cat", "dog"], lambda part, why: None) as keeper:
        for number in range(1000):  # would wait for minutes
            keeper.show(state(number), pattern(0))
        assert len(keeper._waiting) == 2
        hanging.set()


@pytest.mark.parametrize(
    "said", ["", "../etc", "a/b", "-x", ".hidden", "a\x1b[2J", "a\nb", "x" * 81, "con:", "<b>"]
)
def test_a_hostile_label_is_refused(tmp_path: Path, said: str) -> None:
    photos = KeptPhotos(tmp_path, 10**6)
    with (
        PhotoKeeper(photos, (Path("m"), "0"), ["cat"], lambda part, why: None) as keeper,
        pytest.raises(EdgenetError, match="cannot be the name of a class's folder"),
    ):
        keeper.keep_marked(jpeg(), state(0), said)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EdgenetError, match=r"cannot keep photos in .*give another --keep-in"):
        KeptPhotos(tmp_path / "file" / "below", 10**6)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):
        with pytest.raises(EdgenetError, match="read-only"):
            KeptPhotos(locked, 10**6)


def test_camera_keeps_what_it_is_unsure_of(run_copied: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    """Two scenes that it does not know, of half a minute each; a photo of each is enough."""
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 2, (180, 160))
    for number in range(120):
        writer.write(pattern(number // 60))
    writer.release()
    done = run_copied(
        *("camera.py", tiny_bundle, film, "--threshold", "1", "--keep-uncertain", "5", "--keep-in", "kept")
    )
    assert (done.returncode, done.stderr) == (0, "")
    kept = sorted((tmp_path / "kept").iterdir())
    found = [read_facts(path.read_bytes()) for path in kept]
    assert [one.reason for one in found] == ["unknown", "unknown"]
    assert found[0].top
    assert found[0].model == tiny_bundle.name
    assert kept[0].stat().st_mode & 0o777 == 0o600
    for number, path in enumerate(kept):
        assert np.abs(read_photo(path).astype(int) - pattern(number)).mean() < 12
