"""How a camera is set, and how its picture is turned, mirrored and cut, whatever the source."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from edgenet_device.frames import Frame
from edgenet_device.frames.csi import open_csi, small_size
from edgenet_device.frames.files import read_frames, turned, turned_frames
from edgenet_device.frames.source import Camera
from edgenet_device.frames.usb import open_camera
from edgenet_device.frames.view import View, add_view_options, view_of
from endless_stream import playing
from model_files import Run

from edgenet.errors import EdgenetError

# Red, green / blue, white, as BGR: which colour is where says what was done to a picture.
CORNERS = {"r": (0, 0, 255), "g": (0, 255, 0), "b": (255, 0, 0), "w": (255, 255, 255)}


def four_colours(height: int = 64, width: int = 96) -> np.ndarray:
    picture = np.empty((height, width, 3), np.uint8)
    for number, colour in enumerate(CORNERS.values()):
        row, column = divmod(number, 2)
        half = (
            slice(row * height // 2, (row + 1) * height // 2),
            slice(column * width // 2, (column + 1) * width // 2),
        )
        picture[half] = colour
    return picture


def seen(picture: np.ndarray) -> str:
    """The colours of the four quarters, row by row."""
    height, width = picture.shape[:2]
    found = ""
    for row in (height // 4, 3 * height // 4):
        for column in (width // 4, 3 * width // 4):
            found += min(
                CORNERS, key=lambda name: int(np.abs(picture[row, column].astype(int) - CORNERS[name]).sum())
            )
    return found


@pytest.mark.parametrize(
    ("view", "corners", "shape"),
    [
        (View(), "rgbw", (64, 96)),
        (View(rotate=90), "brwg", (96, 64)),
        (View(rotate=180), "wbgr", (64, 96)),
        (View(rotate=270), "gwrb", (96, 64)),
        (View(flip="h"), "grwb", (64, 96)),
        (View(flip="v"), "bwrg", (64, 96)),
        (View(rotate=90, flip="h"), "rbgw", (96, 64)),
        (View(region=(0.5, 0, 0.5, 1)), "ggww", (64, 48)),
        (View(rotate=180, region=(0, 0, 1, 0.5)), "wbwb", (32, 96)),
    ],
)
def test_a_picture_is_turned_then_mirrored_then_cut(view: View, corners: str, shape: tuple[int, int]) -> None:
    picture = turned(four_colours(), view)
    assert (seen(picture), picture.shape[:2]) == (corners, shape)
    assert picture.flags["C_CONTIGUOUS"]


def test_a_region_has_at_least_one_pixel() -> None:
    for region in ((0.999, 0.999, 0.001, 0.001), (0.0, 0.0, 0.0001, 0.0001), (0.9, 0.1, 0.1, 0.9)):
        assert min(turned(four_colours(3, 5), View(region=region)).shape) > 0


@pytest.fixture
def upside_down(tmp_path: Path) -> dict[str, Path]:
    """The four colours upside down, as a photo, in a folder, and as a film."""
    picture = cv2.rotate(four_colours(), cv2.ROTATE_180)
    folder = tmp_path / "folder"
    folder.mkdir()
    cv2.imwrite(str(folder / "photo.png"), picture)
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for _ in range(20):
        writer.write(picture)
    writer.release()
    return {"photo": folder / "photo.png", "folder": folder, "film": film}


@pytest.mark.parametrize("kind", ["photo", "folder", "film"])
def test_files_are_turned(kind: str, upside_down: dict[str, Path]) -> None:
    for frame in read_frames(str(upside_down[kind]), view=View(rotate=180)):
        assert seen(frame.pixels) == "rgbw"
    with Camera(upside_down[kind], view=View(rotate=90)) as camera:
        frame = camera.take()
        assert frame is not None
        assert frame.pixels.shape == (96, 64, 3)


def test_a_stream_is_turned() -> None:
    upside_down = cv2.rotate(four_colours(), cv2.ROTATE_180)
    with playing(20, upside_down) as url, Camera(url, view=View(rotate=180)) as camera:
        for _ in range(2):
            frame = camera.take()
            assert frame is not None
            assert seen(frame.pixels) == "rgbw"


def test_the_camera_s_smaller_picture_is_turned_too_and_the_source_is_closed() -> None:
    class Source:
        closed = False

        def __iter__(self) -> Source:
            return self

        def __next__(self) -> Frame:
            return Frame("one", four_colours(), four_colours(32, 48))

        def close(self) -> None:
            self.closed = True

    source = Source()
    frames = turned_frames(source, View(rotate=90))
    first = next(frames)
    assert first.small is not None
    assert (seen(first.pixels), seen(first.small)) == ("brwg", "brwg")
    frames.close()  # type: ignore[attr-defined]
    assert source.closed
    assert turned_frames(source, View(fps=10)) is source


def test_the_scripts_turn_pictures_and_what_is_collected_looks_like_what_is_classified(
    run_copied: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    photos = sorted((Path(__file__).resolve().parents[2] / "calibration_data").glob("*.jpg"))
    (tmp_path / "in").mkdir()
    original = cv2.imread(str(photos[0]))
    cv2.imwrite(str(tmp_path / "in" / "a.png"), original)
    turn = ("--rotate", "90", "--region", "0,0,1,0.5")
    done = run_copied("capture.py", "cup", str(tmp_path / "out"), str(tmp_path / "in"), *turn)
    assert "1 photos kept" in done.stdout
    (kept,) = (tmp_path / "out" / "cup").iterdir()
    collected = cv2.imread(str(kept))
    expected = turned(original, View(rotate=90, region=(0, 0, 1, 0.5)))
    assert collected.shape == expected.shape
    assert np.abs(collected.astype(int) - expected).mean() < 4  # JPEG
    there = json.dumps(str(tmp_path / "in"))
    done = run_copied("camera.py", str(tiny_bundle), "--json", f"--source={json.loads(there)}", *turn)
    assert '"frame": 1' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rotate", "45"), "invalid choice: 45"),
        (("--flip", "x"), "invalid choice: 'x'"),
        (("--size", "big"), "'big' is not WIDTHxHEIGHT"),
        (("--size", "0x480"), "the camera's size cannot be (0, 480)"),
        (("--fps", "nan"), "the camera's fps cannot be nan"),
        (("--region", "0,0,1"), "'0,0,1' is not X,Y,W,H"),
        (("--region", "0.5,0,0.6,1"), "the camera's region cannot be"),
        (("--region", "0,0,nan,1"), "the camera's region cannot be"),
        (("--exposure", "bright"), "'bright' is neither a number nor auto"),
        (("--white-balance", "-1"), "the camera's white balance cannot be -1"),
    ],
)
def test_wrong_values_are_usage_errors(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = argparse.ArgumentParser()
    add_view_options(shape)
    with pytest.raises(SystemExit) as ended:
        view_of(shape, shape.parse_args(list(arguments)))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_view_s_arguments_say_the_same_view() -> None:
    view = View(270, "v", (0.25, 0, 0.5, 1), (1280, 720), 15, "MJPG", 12.5, "auto")
    shape = argparse.ArgumentParser()
    add_view_options(shape)
    assert view_of(shape, shape.parse_args(view.arguments())) == view
    assert View().arguments() == []


def test_what_only_a_camera_can_do_is_told_for_other_sources(upside_down: dict[str, Path]) -> None:
    notes: list[str] = []
    list(read_frames(str(upside_down["photo"]), note=notes.append, view=View(size=(320, 240), fps=5)))
    (note,) = notes
    assert note.startswith("--size, --fps: only a camera of this machine can be set so; ")


class Driver:
    """Stands in for OpenCV's V4L2 camera: it offers 640x480 at 30 frames/s in YUYV, and no white balance."""

    def __init__(self, *given: object) -> None:
        self.set_to: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, name: int, value: float) -> bool:
        self.set_to[name] = value
        return name not in (cv2.CAP_PROP_AUTO_WB, cv2.CAP_PROP_WB_TEMPERATURE)

    def get(self, name: int) -> float:
        fixed = {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480, cv2.CAP_PROP_FPS: 30}
        return fixed.get(name, cv2.VideoWriter.fourcc(*"YUYV"))


def test_a_usb_camera_is_set_and_what_it_does_not_follow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenet_device.frames.usb._check_node", lambda device: None)
    monkeypatch.setattr(cv2, "VideoCapture", Driver)
    notes: list[str] = []
    view = View(size=(1280, 720), fps=60, pixel_format="MJPG", exposure=20, white_balance=4000)
    capture: Any = open_camera(3, view, notes.append)
    assert notes == [
        "camera 3 gives YUYV instead of MJPG",
        "camera 3 gives 640x480 instead of 1280x720",
        "camera 3 gives 30 frames a second instead of 60",
        "camera 3 does not let its white balance be set to 4000",
    ]
    assert capture.set_to[cv2.CAP_PROP_FRAME_WIDTH] == 1280
    assert (capture.set_to[cv2.CAP_PROP_AUTO_EXPOSURE], capture.set_to[cv2.CAP_PROP_EXPOSURE]) == (1, 200)
    notes.clear()
    capture = open_camera(3, View(exposure="auto"), notes.append)
    assert capture.set_to[cv2.CAP_PROP_AUTO_EXPOSURE] == 3
    assert capture.set_to[cv2.CAP_PROP_FRAME_WIDTH] == 640
    assert notes == []


@pytest.mark.parametrize(
    ("network", "size", "small"),
    [
        (224, (640, 480), (320, 240)),
        (96, (640, 480), (128, 96)),
        (224, (1920, 1080), (416, 234)),
        (224, (480, 640), None),
        (224, (160, 120), None),
        (224, (1640, 1232), None),
    ],
)
def test_the_smaller_stream_suits_the_camera_s_size(
    network: int, size: tuple[int, int], small: tuple[int, int] | None
) -> None:
    assert small_size(network, size) == small


class CsiCamera:
    """Stands in for picamera2's camera: what it is configured and set to is kept."""

    camera_controls: ClassVar = {
        "FrameDurationLimits": None,
        "ExposureTime": None,
        "AeEnable": None,
        "AwbEnable": None,
    }
    made: ClassVar[list[CsiCamera]] = []

    def __init__(self, number: int) -> None:
        self.controls: dict[str, Any] = {}
        self.made.append(self)

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Num": 0, "Id": "/base/soc/i2c0mux/imx708"}]

    def create_video_configuration(self, **mode: Any) -> dict[str, Any]:
        return mode

    def configure(self, mode: dict[str, Any]) -> None:
        self.camera_config = {
            name: {**stream, "stride": stream["size"][0] * 3}
            for name, stream in mode.items()
            if name in ("main", "lores")
        }

    def start(self) -> None: ...
    def close(self) -> None: ...
    def set_controls(self, controls: dict[str, Any]) -> None:
        self.controls.update(controls)


def test_a_csi_camera_is_set_and_what_it_does_not_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=CsiCamera))  # type: ignore[arg-type]
    notes: list[str] = []
    view = View(size=(1280, 720), fps=20, exposure=8, white_balance=4000, pixel_format="MJPG")
    open_csi(0, 1, 224, view, notes.append)
    camera = CsiCamera.made[-1]
    assert camera.camera_config["main"]["size"] == (1280, 720)
    assert camera.camera_config["lores"]["size"] == (416, 234)
    assert camera.controls == {"FrameDurationLimits": (50000, 50000), "AeEnable": False, "ExposureTime": 8000}
    (note,) = notes
    assert note.startswith("--format, --white-balance: the camera csi:0 or this version of libcamera has no")


@pytest.mark.parametrize("values", [{"rotate": 45}, {"flip": "x"}, {"region": (0, 0, 2, 1)}, {"fps": 0}])
def test_a_view_of_one_s_own_program_is_checked(values: dict[str, Any]) -> None:
    with pytest.raises(EdgenetError, match="the camera's"):
        View(**values)
