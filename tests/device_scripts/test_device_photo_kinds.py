"""The kinds of photos that phones, scanners and websites write, held against the pixels that Pillow wrote."""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import io
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edgenet_device.frames import photos as photo_reader
from edgenet_device.frames.files import read_frames
from edgenet_device.frames.photos import list_photos, read_photo, readable_suffixes
from PIL import Image, ImageOps

from edgenet.errors import EdgenetError

LOSSY = 1.5
"""The mean difference that a lossy format may cause, in steps of 255; a wrong turn causes 40 or more."""
TURNS = range(1, 9)
"""All eight EXIF orientations."""


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    """160x96 with a ramp of another direction in each channel, so that every turn and every swap shows."""
    y, x = np.mgrid[0:96, 0:160]
    return Image.fromarray(np.stack([x, y * 2, 255 - (x + y) // 2], axis=2).astype(np.uint8))


@pytest.fixture(scope="module")
def other(scene: Image.Image) -> Image.Image:
    """The second frame of animations."""
    return ImageOps.invert(ImageOps.flip(scene))


@pytest.fixture(scope="module", autouse=True)
def _heif_writer() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded_by_pillow(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def distance(pixels: np.ndarray, image: Image.Image) -> float:
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.shape == (image.height, image.width, 3)
    return float(np.abs(pixels[..., ::-1].astype(int) - np.asarray(image.convert("RGB"), int)).mean())


def orientation(turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = turn
    return exif.tobytes()


def turned(image: Image.Image, turn: int) -> Image.Image:
    """Return the photo as Pillow turns it for this EXIF orientation."""
    jpeg = encode(image, "JPEG", exif=orientation(turn), quality=100, subsampling=0)
    return ImageOps.exif_transpose(Image.open(io.BytesIO(jpeg)))


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "HEIF", "AVIF"])
def test_every_turn_of_a_camera(scene: Image.Image, kind: str, turn: int) -> None:
    data = encode(scene, kind, exif=orientation(turn), quality=95)
    assert distance(read_photo(data), turned(scene, turn)) < LOSSY


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_turns_of_lossless_files(scene: Image.Image, kind: str) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = read_photo(encode(scene, kind, exif=exif, **options))
    assert distance(pixels, scene.transpose(Image.Transpose.ROTATE_270)) == 0


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_modes_of_heic_and_avif(scene: Image.Image, kind: str, mode: str) -> None:
    image = scene.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(scene.size))  # transparency is dropped, not blended
    assert distance(read_photo(encode(image, kind, quality=95)), scene.convert(mode)) < LOSSY


def test_10_bits_of_avif_become_8(scene: Image.Image) -> None:
    deep = np.asarray(scene)[..., ::-1].astype(np.uint16) * 4
    options = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 95]
    assert distance(read_photo(cv2.imencode(".avif", deep, options)[1].tobytes()), scene) < LOSSY


def test_10_bits_of_heic_become_8(scene: Image.Image) -> None:
    import pillow_heif

    deep = np.asarray(scene).astype(np.uint16) * 257
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", scene.size, deep.tobytes()).save(buffer, quality=95)
    assert distance(read_photo(buffer.getvalue()), scene) < LOSSY


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {}), ("GIF", {"disposal": 2}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})],
)
def test_the_first_frame_of_an_animation(
    scene: Image.Image, other: Image.Image, kind: str, options: dict[str, Any]
) -> None:
    data = encode(scene, kind, save_all=True, append_images=[other], **options)
    first = decoded_by_pillow(data)
    assert distance(read_photo(data), first) == 0
    assert distance(np.asarray(first)[..., ::-1].copy(), scene) < 20  # GIF has 256 colours


def test_the_first_frame_of_an_animated_avif(scene: Image.Image, other: Image.Image) -> None:
    data = encode(scene, "AVIF", save_all=True, append_images=[other], quality=95)
    assert distance(read_photo(data), scene) < LOSSY


def test_the_first_photo_of_a_stereo_camera(scene: Image.Image, other: Image.Image) -> None:
    data = encode(scene, "MPO", save_all=True, append_images=[other], quality=95)
    assert distance(read_photo(data), scene) < LOSSY


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_transparent_parts_keep_their_colour(scene: Image.Image, kind: str) -> None:
    clear = scene.convert("RGBA")
    clear.putalpha(Image.fromarray(np.repeat(np.uint8([[0], [255]]), [40, 56], axis=0).repeat(160, axis=1)))
    data = encode(clear, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    assert distance(read_photo(data), decoded_by_pillow(data)) == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_of_grey_become_8(scene: Image.Image, kind: str) -> None:
    grey = scene.getchannel("R")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert distance(read_photo(encode(deep, kind)), grey.convert("RGB")) == 0


@pytest.mark.parametrize(("kind", "limit"), [("JPEG", LOSSY), ("TIFF", 0.01)])
def test_cmyk(scene: Image.Image, kind: str, limit: float) -> None:
    options = {"quality": 95} if kind == "JPEG" else {}
    assert distance(read_photo(encode(scene.convert("CMYK"), kind, **options)), scene) < limit


def test_heic_under_the_name_of_a_jpeg(tmp_path: Path, scene: Image.Image) -> None:
    path = tmp_path / "IMG_0001.JPG"
    path.write_bytes(encode(scene, "HEIF", quality=95))
    assert distance(read_photo(path), scene) < LOSSY


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "GIF"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.99])
def test_truncated_files_are_refused(kind: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8))
    data = encode(noise, kind)
    with pytest.raises(EdgenetError, match=r"^holiday is .*(truncated|damaged)"):
        read_photo(data[: int(len(data) * kept)], "holiday")


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_damage_never_shows_as_another_error(scene: Image.Image, kind: str) -> None:
    data, chance = encode(scene, kind, quality=50), random.Random(1)
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[chance.randrange(min(len(data), 500))] = chance.randrange(256)
        with contextlib.suppress(EdgenetError):  # some changes leave a photo that can be read
            read_photo(bytes(damaged), "x")


def test_a_heic_or_avif_bomb_is_refused_before_it_is_decoded(scene: Image.Image) -> None:
    for kind in ("HEIF", "AVIF"):
        data = bytearray(encode(scene, kind))
        at = data.index(b"ispe") + 8
        data[at : at + 8] = (40_000).to_bytes(4, "big") * 2
        with pytest.raises(EdgenetError, match="40000x40000 pixels, too many"):
            read_photo(bytes(data))


@pytest.fixture
def without_pillow_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where the package is not installed."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        photo_reader.importlib.util,
        "find_spec",
        lambda name: None if name == photo_reader.HEIC_PACKAGE else found(name),
    )


@pytest.mark.usefixtures("without_pillow_heif")
def test_heic_without_the_package_names_the_way_out(tmp_path: Path, scene: Image.Image) -> None:
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(encode(scene, "HEIF"))
    assert ".heic" not in readable_suffixes()
    for read in (read_photo, lambda path: read_frames(str(path))):
        with pytest.raises(
            EdgenetError, match=r"IMG_0001.HEIC is HEIC, .* pip install pillow-heif, or export"
        ):
            read(path)
    with pytest.raises(EdgenetError, match=r"1 \.heic\); pip install pillow-heif"):
        list_photos(tmp_path)


def test_a_folder_of_heic_photos(tmp_path: Path, scene: Image.Image) -> None:
    (tmp_path / "IMG_0001.HEIC").write_bytes(encode(scene, "HEIF"))
    assert list_photos(tmp_path) == [tmp_path / "IMG_0001.HEIC"]


def test_the_package_is_only_imported_for_heic(scene: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *rest: Any) -> Any:
        assert name != photo_reader.HEIC_PACKAGE
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(photo_reader.importlib, "import_module", lambda name: pytest.fail(name))
    monkeypatch.setattr(builtins, "__import__", refuse)
    for kind in ("JPEG", "PNG", "AVIF", "GIF"):
        read_photo(encode(scene, kind))
