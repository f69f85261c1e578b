"""The device package's own API: `from edgenet_device import Camera, Classifier`, and programs of one's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import edgenet_device
import numpy as np
import pytest
from edgenet_device import Camera, Classifier, EdgenetError, Frame
from edgenet_device.frames import source as source_room
from edgenet_device.frames.photos import read_photo
from edgenet_device.model_file import open_model
from edgenet_device.preprocess import CentreCrop, prepare
from edgenet_device.runtime import load_runtime
from model_files import ROOT, SIZE

PHOTOS = sorted((ROOT / "calibration_data").glob("*.jpg"))
CLIP = ROOT / "edgenet" / "assets" / "clip.mp4"
GREY = np.full((48, 64, 3), 128, np.uint8)


@pytest.fixture
def classifier(tiny_bundle: Path) -> Classifier:
    return Classifier(tiny_bundle)


# The classifier -------------------------------------------------------------------------------------------------


def test_a_photo_s_path_an_array_and_a_frame_give_the_same_scores(classifier: Classifier) -> None:
    for path in PHOTOS[:5]:
        bgr = read_photo(path)
        expected = classifier.score_prepared(prepare(bgr, SIZE)[0])
        for picture in (path, str(path), bgr[..., ::-1], bgr[..., ::-1].copy(), Frame("photo", bgr)):
            np.testing.assert_array_equal(classifier(picture), expected)


def test_a_frame_s_small_picture_is_the_one_classified(classifier: Classifier) -> None:
    small = read_photo(PHOTOS[0])
    np.testing.assert_array_equal(
        classifier(Frame("csi:0#0", GREY, small)), classifier(Frame("small", small))
    )


def test_rgb_and_bgr_are_preprocessed_to_the_same_pixels() -> None:
    random = np.random.default_rng(0)
    for height, width in ((4, 4), (32, 32), (33, 70), (480, 640), (1000, 300)):
        bgr = random.integers(0, 256, (height, width, 3), np.uint8)
        rule, rgb = CentreCrop((height, width), SIZE), np.empty((SIZE, SIZE, 3), np.uint8)
        rule.write_rgb(bgr[..., ::-1], rgb)
        np.testing.assert_array_equal(rgb, prepare(bgr, SIZE)[0])


def test_top_names_the_best_labels(classifier: Classifier) -> None:
    blue = np.zeros((40, 50, 3), np.uint8)
    blue[..., 2] = 255
    (label, score), *others = classifier.top(blue, 3)
    assert label == "blue"
    assert score == pytest.approx(classifier(blue).max())
    assert [name for name, _ in others] == [classifier.labels[i] for i in (0, 1)]
    assert classifier.top(blue, 1) == [(label, score)]
    assert classifier.top(blue, np.int64(99)) == classifier.top(blue)


def test_a_model_is_a_path_or_an_opened_file(tiny_tflite: Path, tiny_bundle: Path) -> None:
    scores = [
        Classifier(model, threads=1, runtime=load_runtime())(GREY)
        for model in (tiny_tflite, str(tiny_tflite), tiny_bundle, open_model(tiny_bundle))
    ]
    for found in scores[1:]:
        np.testing.assert_array_equal(found, scores[0])


@pytest.mark.parametrize(
    ("picture", "kind", "found"),
    [
        (GREY.astype(np.float32) / 255, EdgenetError, r"float32 \[48, 64, 3\], expected uint8 RGB \[height,"),
        (GREY[..., 0], EdgenetError, r"uint8 \[48, 64\], expected"),
        (GREY[None], EdgenetError, r"uint8 \[1, 48, 64, 3\], expected .*; give one picture"),
        (np.zeros((48, 64, 4), np.uint8), EdgenetError, r"uint8 \[48, 64, 4\], expected"),
        (np.zeros((0, 64, 3), np.uint8), EdgenetError, "cannot turn a 64x0 frame"),
        ("nowhere.jpg", EdgenetError, "nowhere.jpg does not exist"),
        (GREY.tolist(), TypeError, "a picture is a frame of a Camera, .* but a list was given"),
        (None, TypeError, "but a NoneType was given"),
    ],
)
def test_inputs_that_are_not_pictures(
    classifier: Classifier, picture: Any, kind: type[Exception], found: str
) -> None:
    with pytest.raises(kind, match=found):
        classifier.top(picture)


@pytest.mark.parametrize(
    ("arguments", "kind", "found"),
    [
        (("nowhere.edgenet",), EdgenetError, "the model nowhere.edgenet does not exist"),
        ((b"bytes",), TypeError, r"the path of a \.edgenet or \.tflite file, but a bytes was given"),
        (("MODEL", 0), EdgenetError, "0 threads requested; give at least 1"),
        (("MODEL", "two"), TypeError, "threads is a whole number, but a str was given"),
        (("MODEL", True), TypeError, "threads is a whole number, but a bool was given"),
    ],
)
def test_files_that_are_not_classifiers(
    tiny_bundle: Path, arguments: tuple[Any, ...], kind: type[Exception], found: str
) -> None:
    with pytest.raises(kind, match=found):
        Classifier(*(tiny_bundle if given == "MODEL" else given for given in arguments))


def test_an_invalid_number_of_labels(classifier: Classifier) -> None:
    with pytest.raises(EdgenetError, match="0 labels requested; give at least 1"):
        classifier.top(GREY, 0)
    with pytest.raises(TypeError, match="k is a whole number, but a float was given"):
        classifier.top(GREY, 2.5)  # type: ignore[arg-type]


# The camera -----------------------------------------------------------------------------------------------------


def test_every_frame_of_the_clip_in_order() -> None:
    capture = cv2.VideoCapture(str(CLIP))
    count = 0
    for frame in Camera(CLIP):
        read, pixels = capture.read()
        assert read
        assert frame.name == f"clip.mp4#{count}"
        np.testing.assert_array_equal(frame.pixels, pixels)
        count += 1
    assert count > 30
    assert not capture.read()[0]


def test_a_folder_and_a_photo(classifier: Classifier) -> None:
    names = [frame.name for frame in Camera(ROOT / "calibration_data", every=10)]
    assert names == [path.name for path in PHOTOS[::10]]
    ((name, top),) = [(frame.name, classifier.top(frame)) for frame in Camera(str(PHOTOS[0]))]
    assert (name, top) == (PHOTOS[0].name, classifier.top(PHOTOS[0]))


def test_loops_in_a_block_share_the_camera_and_loops_alone_begin_anew(video: Path) -> None:
    camera = Camera(video)
    with camera:
        first = [frame.name for frame, _ in zip(camera, range(3), strict=False)]
        following = camera.take()
    assert first == [f"colours.avi#{number}" for number in range(3)]
    assert following is not None
    assert following.name == "colours.avi#4"  # zip took one frame more than it used
    assert sum(1 for _ in camera) == 30
    assert sum(1 for _ in camera) == 30


@pytest.mark.parametrize(
    ("source", "kind", "found"),
    [
        ("nowhere.mp4", EdgenetError, "nowhere.mp4 does not exist"),
        (97, EdgenetError, "there is no camera /dev/video97"),
        (-1, EdgenetError, "there is no camera -1; give a number such as 0, or a path"),
        ("", EdgenetError, "there is no camera without a name"),
        (0.5, TypeError, "a source is the number of a camera, .* but a float was given"),
        (None, TypeError, "but a NoneType was given"),
        (True, TypeError, "but a bool was given"),
    ],
)
def test_inputs_that_are_not_sources(source: Any, kind: type[Exception], found: str) -> None:
    with pytest.raises(kind, match=found):
        next(iter(Camera(source)))


def test_which_frames_are_used_must_be_a_whole_number(video: Path) -> None:
    with pytest.raises(TypeError, match="every is a whole number, but a str was given"):
        Camera(video, every="2")  # type: ignore[arg-type]
    with pytest.raises(EdgenetError, match="every 0th frame requested; give at least 1"):
        Camera(video, every=0).take()


class LostCamera:
    """Stands in for a camera that gives one frame, and is then unplugged for good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = 0
        self.closed = threading.Event()
        monkeypatch.setattr(source_room, "read_frames", self._read)

    def _read(self, *given: object) -> Iterator[Frame]:
        self.opened += 1
        if self.opened > 1:
            raise EdgenetError("there is no camera /dev/video0", "plug it in")
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        try:
            yield Frame("camera 0#0", GREY)
            raise EdgenetError("camera 0 stopped", "check its cable")
        finally:
            self.closed.set()


def test_a_lost_camera_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause before it is opened again would last a quarter of an hour."""
    monkeypatch.setattr(source_room, "PAUSES", (900.0,))
    LostCamera(monkeypatch)
    notes, noted = [], threading.Event()

    def note(message: str) -> None:
        notes.append(message)
        noted.set()

    with Camera(0, note=note) as camera:
        assert camera.take() is not None
        assert noted.wait(30)
    assert "capture" not in [thread.name for thread in threading.enumerate()]
    assert notes == ["camera 0 stopped; check its cable; trying again"]


def test_every_frame_of_a_camera_ends_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    LostCamera(monkeypatch)
    frames = iter(Camera(0, every_frame=True))
    assert next(frames).name == "camera 0#0"
    with pytest.raises(EdgenetError, match="camera 0 stopped"):
        next(frames)


def test_leaving_a_loop_closes_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = LostCamera(monkeypatch)
    for _ in Camera(0, note=lambda text: None):
        break
    assert lost.closed.is_set()
    assert "capture" not in [thread.name for thread in threading.enumerate()]


# The package ----------------------------------------------------------------------------------------------------


def test_the_package_lists_what_it_offers() -> None:
    assert set(edgenet_device.__all__) <= set(dir(edgenet_device))
    for name in edgenet_device.__all__:
        assert getattr(edgenet_device, name).__doc__
    with pytest.raises(AttributeError, match="module 'edgenet_device' has no attribute 'Photo'"):
        edgenet_device.Photo  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, edgenet_device; print({'numpy', 'cv2', 'ai_edge_litert'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_model_runs_without_opencv(tiny_bundle: Path) -> None:
    code = (
        "import sys; sys.modules['cv2'] = None; from edgenet_device import Classifier; import numpy; "
        f"classifier = Classifier({str(tiny_bundle)!r}); "
        "print(classifier.score_prepared(numpy.zeros((32, 32, 3), 'uint8')).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(3,)\n", "")


PROGRAM = """
from edgenet_device import Camera, Classifier

classifier = Classifier("tiny.edgenet")
seen = []
for frame in Camera("colours.avi"):
    (label, score), *_ = classifier.top(frame, 3)
    if not seen or seen[-1] != label:
        print(f"{frame.name}: {label}")
        seen.append(label)
"""


def test_a_program_of_one_s_own_beside_the_copied_package(
    copied_scripts: Path, tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    scripts = shutil.copytree(copied_scripts, tmp_path / "own scripts")
    program = scripts / "my_program.py"
    program.write_text(f"{PROGRAM}\nimport edgenet_device\nprint(edgenet_device.__file__)\n")
    done = subprocess.run(
        [sys.executable, "-E", "-s", str(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    *lines, origin = done.stdout.splitlines()
    assert lines == ["colours.avi#0: red", "colours.avi#10: green", "colours.avi#20: blue"]
    assert Path(origin).is_relative_to(scripts)
