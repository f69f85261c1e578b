"""Sources of frames, the even pick over them, and the contact sheet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.frames.files import read_frames
from edgenet_device.frames.usb import retrieve
from edgenet_device.live.drawing import EvenPick, draw_contact_sheet, save_contact_sheet, tile_of

from edgenet.errors import EdgenetError

ACCENT = (178, 200, 72)
"""BGR, of the bar of an answer."""
GUESS = (134, 116, 104)
"""BGR, of the other bars."""
GREY = np.full((48, 64, 3), 120, np.uint8)


def test_video_frames_come_in_order(video: Path) -> None:
    frames = read_frames(str(video))
    seen = [(frame.name, int(frame.pixels.mean((0, 1)).argmax())) for frame in frames]
    assert [name for name, _ in seen] == [f"colours.avi#{i}" for i in range(30)]
    assert [channel for _, channel in seen] == [2] * 10 + [1] * 10 + [0] * 10


def test_every_nth_frame(video: Path, tmp_path: Path) -> None:
    assert [frame.name for frame in read_frames(str(video), every=12)] == [
        f"colours.avi#{i}" for i in (0, 12, 24)
    ]
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), GREY)
    assert [frame.name for frame in read_frames(str(tmp_path), every=2)] == ["0.png", "2.png", "4.png"]
    with pytest.raises(EdgenetError, match="every 0th"):
        read_frames(str(video), every=0)


def test_a_photo_is_known_by_its_content_too(tmp_path: Path) -> None:
    (tmp_path / "snapshot").write_bytes(cv2.imencode(".jpg", GREY)[1].tobytes())
    (frame,) = read_frames(str(tmp_path / "snapshot"))
    assert (frame.name, frame.pixels.shape) == ("snapshot", (48, 64, 3))


def test_unreadable_photos_of_a_folder_are_skipped_and_named(tmp_path: Path) -> None:
    whole = cv2.imencode(".jpg", GREY)[1].tobytes()
    for name, data in {"a.jpg": whole, "b.jpg": whole[:-30], "c.jpg": b"", "d/e.jpg": whole}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    notes: list[str] = []
    assert [frame.name for frame in read_frames(str(tmp_path), note=notes.append)] == ["a.jpg", "d/e.jpg"]
    assert len(notes) == 1
    assert "skipped 2 of 4" in notes[0]
    assert "b.jpg is truncated" in notes[0]
    assert "c.jpg is empty" in notes[0]


def test_a_folder_of_broken_photos(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(EdgenetError, match="none of the 1 photos"):
        list(read_frames(str(tmp_path), note=lambda _: None))


def test_a_cut_video_gives_its_frames_and_a_note(video: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    notes: list[str] = []
    frames = list(read_frames(str(cut), note=notes.append))
    assert 1 <= len(frames) < 30
    assert f"states 30 frames, {len(frames)} could be read" in notes[0]


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        (
            "notes.txt",
            b"FFmpeg would play this text as a video of a terminal\n" * 9,
            "neither a photo nor a video",
        ),
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", bytes(range(256)) * 9, "not a video that OpenCV can open"),
        ("cut.jpg", b"\xff\xd8\xff", "truncated"),
    ],
)
def test_inputs_that_are_not_sources(tmp_path: Path, name: str, data: bytes, found: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(EdgenetError, match=found):
        read_frames(str(tmp_path / name))


def test_missing_sources(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="does not exist"):
        read_frames(str(tmp_path / "nope.mp4"))
    with pytest.raises(EdgenetError, match="it is empty"):
        read_frames(str(tmp_path))
    for camera in ("97", "/dev/video97"):
        with pytest.raises(EdgenetError, match="no camera /dev/video97"):
            read_frames(camera)


@pytest.mark.parametrize("length", [1, 5, 12, 13, 24, 100, 1000])
def test_the_pick_is_spread_evenly(length: int) -> None:
    pick = EvenPick()
    for number in range(length):
        pick.offer(number, GREY, str(number), [])
    numbers = [int(tile.name) for tile in pick.tiles()]
    assert len(numbers) == min(length, 12)
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))
    assert numbers[-1] >= length * 0.8 - 1
    gaps = np.diff(numbers)
    assert length <= 12 or gaps.max() <= 2.01 * max(gaps.min(), 1)


@pytest.mark.parametrize(("score", "stands_out"), [(0.31, True), (0.29, False)])
def test_only_an_answer_has_the_accent_colour(score: float, stands_out: bool) -> None:
    sheet = draw_contact_sheet([tile_of(GREY, "n", [("cat", score), ("dog", 0.2)])], "model")
    assert (sheet == ACCENT).all(2).any() == stands_out


def test_sheet_tiles_do_not_overlap_and_long_text_is_shortened() -> None:
    """Labels far too long change nothing outside their own rows: neither the photos nor the space between tiles."""
    frames = [np.full((60, 80, 3), shade, np.uint8) for shade in (60, 110, 160, 210, 250)]
    short = [tile_of(frame, "n", [("cat", 0.5), ("dog", 0.25), ("é", 0.0)]) for frame in frames]
    long = [
        tile_of(frame, "n" * 200, [("cat " * 60, 0.5), ("dog" * 99, 0.25), ("é" * 99, 0.0)])
        for frame in frames
    ]
    first, second = draw_contact_sheet(short, "model"), draw_contact_sheet(long, "model" * 40, "x" * 300)
    assert first.shape == second.shape
    changed = (first != second).any(2)
    inside = np.zeros_like(changed)
    for number in range(5):
        left, top = 32 + number % 3 * 308, 92 + number // 3 * 465
        inside[top + 288 : top + 445, left : left + 288] = True
        assert (first[top + 144, left + 144] == frames[number][0, 0]).all()
    inside[:92] = True
    assert changed.any()
    assert not (changed & ~inside).any()


def test_bars_are_as_long_as_their_scores() -> None:
    def bar_length(score: float) -> int:
        tile = draw_contact_sheet([tile_of(GREY, "n", [("x", score)])], "m")
        row = tile[92 + 288 + 30 + 16 + 11]
        colour = ACCENT if score >= 0.3 else GUESS
        return int((np.abs(row.astype(int) - colour).max(1) < 12).sum())

    lengths = [bar_length(score) for score in (0.0, 0.25, 0.5, 1.0)]
    assert lengths == pytest.approx([0, 65, 130, 260], abs=6)


def test_saving_the_sheet(tmp_path: Path) -> None:
    sheet = draw_contact_sheet([tile_of(GREY, "n", [("cat", 1.0)])], "m")
    save_contact_sheet(sheet, tmp_path / "s.png")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "s.png")), sheet)
    save_contact_sheet(sheet, tmp_path / "s.JPG")
    assert cv2.imread(str(tmp_path / "s.JPG")).shape == sheet.shape
    with pytest.raises(EdgenetError, match=r"does not end in \.png"):
        save_contact_sheet(sheet, tmp_path / "s.gif")
    with pytest.raises(EdgenetError, match="there is no folder"):
        save_contact_sheet(sheet, tmp_path / "nope" / "s.png")
    with pytest.raises(EdgenetError, match="13 tiles"):
        draw_contact_sheet([tile_of(GREY, "n", [])] * 13, "m")


class Captured:
    """Stands in for OpenCV's capture: versions of it hand out the same frame in different shapes."""

    def __init__(self, pixels: np.ndarray, fourcc: str) -> None:
        self._pixels = pixels
        self._values = {
            cv2.CAP_PROP_FRAME_HEIGHT: 48.0,
            cv2.CAP_PROP_FRAME_WIDTH: 64.0,
            cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter_fourcc(*fourcc)),
        }

    def retrieve(self, buffer: np.ndarray | None) -> tuple[bool, np.ndarray]:
        return True, self._pixels

    def get(self, name: int) -> float:
        return self._values[name]


def test_a_frame_is_a_picture_in_whatever_shape_it_comes() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for pixels, fourcc in (
        (picture, "MJPG"),
        (picture.reshape(1, -1), "BGR3"),  # OpenCV 4.11
        (picture.reshape(-1, 1), "BGR3"),
    ):
        frame = retrieve(Captured(pixels, fourcc), None)
        assert frame is not None
        assert np.array_equal(frame, picture)
    grey = retrieve(Captured(picture[:, :, 0], "GREY"), None)
    assert grey is not None
    assert np.array_equal(grey[:, :, 2], picture[:, :, 0])
    for pixels, fourcc in ((picture.reshape(1, -1)[:, 1:], "BGR3"), (picture.reshape(1, -1), "XXXX")):
        assert retrieve(Captured(pixels, fourcc), None) is None
