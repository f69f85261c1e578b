"""Bad calibration sets are reported; real photos are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from small_network import PHOTOS

from edgenet.data.loading import choose, load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.lower import lower
from edgenet.workflows.calibration_checks import calibration_warnings, few_photos
from edgenet.workflows.convert import convert
from edgenet.workflows.sources import SourceOptions, open_source

SIZE = 96
FEW_CLASSES = np.zeros((1, 5), np.float32)
SURE = np.eye(4, 1000, dtype=np.float32) * 20
UNSURE = np.zeros((4, 1000), np.float32)

Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def real() -> Images:
    return load_all(open_photos(PHOTOS), SIZE).images


def noise(count: int) -> Images:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def drawings(count: int) -> Images:
    """Coloured shapes on white paper."""
    chance = np.random.default_rng(0)
    pages = np.full((count, SIZE, SIZE, 3), 255, np.uint8)
    for page in pages:
        for _ in range(3):
            middle, colour = chance.integers(0, SIZE, 2).tolist(), chance.integers(0, 200, 3).tolist()
            cv2.circle(page, middle, int(chance.integers(5, 20)), colour, 2)
    return pages


def digits(count: int) -> Images:
    pages = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    for number, page in enumerate(pages):
        cv2.putText(page, str(number % 10), (20, 80), number % 4, 3.0, (255, 255, 255), 6)
    return pages


def only(images: Images, repeats: int = 0, logits: NDArray[np.float32] = FEW_CLASSES) -> str:
    (warning,) = calibration_warnings(images, repeats, logits)
    return warning


@pytest.mark.parametrize("size", [32, 64, 224])
def test_real_photos_are_not_reported(size: int) -> None:
    images = load_all(open_photos(PHOTOS), size).images
    assert calibration_warnings(images, 0, SURE) == ()


def test_imagenet_is_not_reported(shared_data: Path) -> None:
    photos = choose(open_photos(shared_data / "imagenet-sample-500.zip"), 100)
    assert calibration_warnings(load_all(photos, SIZE).images, 0, SURE) == ()


def test_one_real_photo_is_not_reported(real: Images) -> None:
    assert calibration_warnings(real[:1], 0, SURE) == ()


def test_noise(real: Images) -> None:
    assert "look like noise" in only(noise(8))
    mostly_real = np.concatenate([real[:9], noise(4)])
    assert calibration_warnings(mostly_real, 0, SURE) == ()


def test_drawings_and_dark_photos(real: Images) -> None:
    assert "is a single tone" in only(drawings(8))
    assert "is a single tone" in only(real[:16] // 16)
    assert any("is a single tone" in message for message in calibration_warnings(digits(8), 0, FEW_CLASSES))


def test_photos_without_colour(real: Images) -> None:
    grey = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in real[:12]])
    without = np.repeat(grey[..., None], 3, axis=3)
    assert "has any colour" in only(without)
    assert calibration_warnings(np.concatenate([without, real[12:13]]), 0, SURE) == ()


def test_plain_colours_are_refused() -> None:
    """No range that is measured on such pictures means anything."""
    colours = np.broadcast_to(noise(8)[:, :1, :1], (8, SIZE, SIZE, 3)).copy()
    with pytest.raises(
        EdgenetError, match=r"none of the 8 calibration photos has any contrast.*; give photos"
    ):
        calibration_warnings(colours, 0, FEW_CLASSES)


def test_plain_colours_among_photos_are_reported(real: Images) -> None:
    some = np.concatenate([real[:8], np.zeros((2, SIZE, SIZE, 3), np.uint8)])
    messages = calibration_warnings(some, 0, SURE)
    assert messages[0].startswith("2 of 10 calibration photos have no contrast")


def test_near_copies(real: Images) -> None:
    brighter = np.clip(real[:10].astype(int) + 12, 0, 255).astype(np.uint8)
    message = only(np.concatenate([real[:10], brighter]))
    assert message.startswith("10 of 20 calibration photos look nearly the same as another one")


@pytest.mark.parametrize(
    ("repeats", "text"), [(1, "1 calibration file is a copy"), (3, "3 calibration files are")]
)
def test_copies(real: Images, repeats: int, text: str) -> None:
    assert only(real[:8], repeats).startswith(text)


def test_scores(real: Images) -> None:
    """This is checked only with many classes: a network with few classes may be unsure about pictures that it knows."""
    message = only(real[:4], 0, UNSURE)
    assert "recognises little" in message
    assert "0% on a typical photo" in message
    assert calibration_warnings(real[:4], 0, FEW_CLASSES) == ()


def test_photos_that_do_not_show_the_range_are_reported(real: Images) -> None:
    """A network that wavers between four classes recognises much, but is not nearly as sure as it can be.

    Where it wavers between three, the room that its logits get does.
    """
    four, three = (np.zeros((4, 1000), np.float32) for _ in range(2))
    four[:, :4], three[:, :3] = 20, 20
    message = only(real[:4], 0, four)
    assert "do not show the network's range: its best class has 25%" in message
    assert calibration_warnings(real[:4], 0, three) == ()


@pytest.mark.parametrize(
    ("photos", "text"), [(1, "only 1 photo calibrated"), (8, "only 8 photos calibrated")]
)
def test_few_photos_work_and_are_reported(made: Path, tmp_path: Path, photos: int, text: str) -> None:
    out = tmp_path / "net.tflite"
    result = convert(str(made / "small.safetensors"), out, calibration=PHOTOS, photos=photos, recipe="minmax")
    assert result.quantization is not None
    assert result.quantization.calibration_count == photos
    assert out.stat().st_size == result.bytes
    assert any(warning.startswith(text) for warning in result.warnings)


def test_many_photos_are_not_reported() -> None:
    assert few_photos(29) == few_photos(100) == ()


def test_every_hint_says_that_it_is_one(real: Images) -> None:
    for message in (only(noise(8)), only(drawings(8)), only(real[:4], 0, UNSURE)):
        assert "only a hint" in message


def test_copies_are_counted_from_files(made: Path, tmp_path: Path) -> None:
    """Two copies of one photo among the others are reported and left out of the calibration."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photos = sorted(PHOTOS.glob("*.jpg"))[:4]
    for photo in photos:
        shutil.copyfile(photo, folder / photo.name)
    for name in ("copy.jpg", "again.jpg"):
        shutil.copyfile(photos[0], folder / name)
    result = convert(
        str(made / "small.safetensors"),
        tmp_path / "net.tflite",
        calibration=folder,
        photos=8,
        recipe="minmax",
    )
    assert result.warnings[0].startswith("2 calibration files are copies of others")
    assert result.quantization is not None
    assert result.quantization.calibration_count == 4


@pytest.mark.slow
def test_pictures_that_a_real_network_does_not_know_are_reported(shared_data: Path) -> None:
    """V1's scores on photos from two sources, on blurred noise and on plain colours; the limits come from such sets."""
    source = open_source(str(shared_data / "mobilenet_v1_1.0_224_imagenet.npz"), SourceOptions())
    graph = lower(source.graph, exact_border=False)
    for data in (PHOTOS, shared_data / "imagenet-sample-500.zip"):
        images = load_all(choose(open_photos(data), 32), 224).images
        assert calibration_warnings(images, 0, run(graph, images)) == ()
    soft = np.stack([cv2.GaussianBlur(cv2.resize(image, (224, 224)), (0, 0), 12) for image in noise(8)])
    stretched = np.clip((soft - soft.mean()) * (50 / soft.std()) + 127, 0, 255).astype(np.uint8)
    assert "recognises little" in only(stretched, 0, run(graph, stretched))
