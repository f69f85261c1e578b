"""Every kind of photo people have, and every way a photo can be broken."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edgenet_device.frames import photos
from edgenet_device.frames.photos import list_photos, read_photo
from PIL import Image

from edgenet.errors import EdgenetError

ROTATE_CLOCKWISE = 6  # EXIF orientation: the camera was held on its side


@pytest.fixture
def scene() -> Image.Image:
    """160x96 with a red, a green, a blue and a white quarter: a swap of channels or sides shows."""
    pixels = np.zeros((96, 160, 3), np.uint8)
    pixels[:48, :80], pixels[:48, 80:], pixels[48:, :80], pixels[48:, 80:] = (
        (250, 10, 10),
        (10, 250, 10),
        (10, 10, 250),
        (240, 240, 240),
    )
    return Image.fromarray(pixels)


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def distance(pixels: np.ndarray, image: Image.Image) -> float:
    """Mean difference from the true picture, in steps of 255."""
    return float(np.abs(pixels[..., ::-1].astype(int) - np.asarray(image.convert("RGB"), int)).mean())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_colours_and_sides_are_right(scene: Image.Image, kind: str) -> None:
    pixels = read_photo(encode(scene, kind))
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert distance(pixels, scene) < 6


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA"])
def test_modes_become_three_channels(scene: Image.Image, mode: str) -> None:
    image = scene.convert(mode)
    assert distance(read_photo(encode(image, "PNG")), image) < 1


def test_cmyk_jpeg(scene: Image.Image) -> None:
    assert distance(read_photo(encode(scene.convert("CMYK"), quality=95)), scene) < 6


def test_16_bits_are_scaled_to_8(scene: Image.Image) -> None:
    deep = np.asarray(scene).astype(np.uint16)[..., ::-1] * 257
    pixels = read_photo(cv2.imencode(".png", deep)[1].tobytes())
    assert pixels.dtype == np.uint8
    assert distance(pixels, scene) <= 1


def test_transparency_is_dropped_and_not_blended(scene: Image.Image) -> None:
    clear = scene.copy()
    clear.putalpha(0)
    assert distance(read_photo(encode(clear, "PNG")), scene) < 1


@pytest.mark.parametrize("scale", [1, 16])
def test_exif_rotation_is_applied_also_to_reduced_photos(scene: Image.Image, scale: int) -> None:
    exif = Image.Exif()
    exif[0x112] = ROTATE_CLOCKWISE
    large = scene.resize((160 * 2 * scale, 96 * 2 * scale), Image.Resampling.NEAREST)
    pixels = read_photo(encode(large, exif=exif, quality=95))
    shrunk = 2 if scale == 16 else 1
    assert pixels.shape[:2] == (160 * 2 * scale // shrunk, 96 * 2 * scale // shrunk)
    quarter = pixels.shape[0] // 4, pixels.shape[1] // 4
    assert pixels[quarter][0] > 200  # turned clockwise, the blue bottom left comes to the top left
    assert pixels[quarter][2] < 60


@pytest.mark.parametrize(("shorter", "factor"), [(2046, 1), (2048, 2), (4096, 4), (8192, 8)])
def test_large_jpegs_are_reduced_to_at_least_1024(shorter: int, factor: int) -> None:
    data = cv2.imencode(".jpg", np.full((shorter, shorter + 8, 3), 90, np.uint8))[1].tobytes()
    assert read_photo(data).shape == (shorter // factor, -(-(shorter + 8) // factor), 3)


@pytest.mark.parametrize(("least", "factor"), [(97, 1), (96, 2), (49, 2), (48, 4), (24, 8), (1, 8)])
@pytest.mark.parametrize("turned", [False, True])
def test_the_shortest_side_may_be_given(scene: Image.Image, least: int, factor: int, turned: bool) -> None:
    exif = Image.Exif()
    exif[0x112] = ROTATE_CLOCKWISE if turned else 1
    data = encode(scene.resize((320, 192), Image.Resampling.NEAREST), exif=exif, quality=95)
    pixels = read_photo(data, least_side=least)
    shape = (320 // factor, 192 // factor) if turned else (192 // factor, 320 // factor)
    assert pixels.shape == (*shape, 3)
    whole = cv2.resize(read_photo(data), shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(whole.astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_truncated_photos_are_refused(kind: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8))
    data = encode(noise, kind)
    with pytest.raises(EdgenetError, match=r"holiday.*(truncated|not a photo)"):
        read_photo(data[: int(len(data) * kept)], "holiday")


def test_truncation_shows_despite_a_whole_preview_inside(scene: Image.Image) -> None:
    preview = encode(scene.resize((40, 24)))
    data = encode(scene)
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = data[:2] + segment + data[2:]
    assert read_photo(whole).shape == (96, 160, 3)
    with pytest.raises(EdgenetError, match="end-of-image"):
        read_photo(whole[:-200])


def test_progressive_and_restart_markers_are_not_truncation(scene: Image.Image) -> None:
    assert read_photo(encode(scene, progressive=True)).shape == (96, 160, 3)
    restarts = [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]
    assert read_photo(cv2.imencode(".jpg", np.asarray(scene), restarts)[1].tobytes()).shape == (96, 160, 3)


def test_a_changed_byte_in_a_png_is_found(scene: Image.Image) -> None:
    data = bytearray(encode(scene, "PNG"))
    data[len(data) // 2] ^= 0x55
    with pytest.raises(EdgenetError, match="checksum of its IDAT"):
        read_photo(bytes(data))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (b"hello, this is a text and no photo at all", "not a photo"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\xff\xd8\xff\xd9", "before any picture data"),
        (b"\xff\xd8\xff\xe0", "ends inside a segment"),
    ],
)
def test_files_that_are_not_photos(data: bytes, found: str) -> None:
    with pytest.raises(EdgenetError, match=found):
        read_photo(data, "x.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_under_4_pixels_on_a_side(scene: Image.Image, kind: str) -> None:
    with pytest.raises(EdgenetError, match="1x96 pixels"):
        read_photo(encode(scene.resize((1, 96)), kind))
    assert read_photo(encode(scene.resize((4, 4)), kind)).shape == (4, 4, 3)


def test_a_png_bomb_is_refused_by_its_header() -> None:
    data = bytearray(encode(Image.new("L", (8, 8)), "PNG"))
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(EdgenetError, match="40000x40000 pixels, too many"):
        read_photo(bytes(data))


def test_paths(tmp_path: Path, scene: Image.Image) -> None:
    path = tmp_path / "Grüße aus Köln.jpg"
    path.write_bytes(encode(scene))
    assert read_photo(path).shape == (96, 160, 3)
    os.mkfifo(tmp_path / "pipe.jpg")
    for wrong, found in [
        ("nope.jpg", "does not exist"),
        (".", "is a folder"),
        ("pipe.jpg", "not a regular file"),
    ]:
        with pytest.raises(EdgenetError, match=found):
            read_photo(tmp_path / wrong)


def test_native_libraries_stay_silent(capfd: pytest.CaptureFixture[str]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8))
    data = bytearray(encode(noise))
    data[-400:-300] = bytes(100)  # libjpeg: "Corrupt JPEG data"
    cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR)
    assert "Corrupt" in capfd.readouterr().err  # so there is something to silence
    read_photo(bytes(data))
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "afterwards"


def test_list_photos_is_sorted_and_goes_into_folders(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", ".hidden.jpg", ".cache/x.jpg", "notes.txt", "a/c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in list_photos(tmp_path)] == [
        "a/c.tif",
        "a/z.png",
        "b.JPG",
    ]


def test_list_photos_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "heic_is_readable", lambda: False)
    with pytest.raises(EdgenetError, match="it is empty"):
        list_photos(tmp_path)
    (tmp_path / "x.heic").touch()
    with pytest.raises(EdgenetError, match=r"1 \.heic"):
        list_photos(tmp_path)
    with pytest.raises(EdgenetError, match="does not exist"):
        list_photos(tmp_path / "nope")
    with pytest.raises(EdgenetError, match="is not a folder"):
        list_photos(tmp_path / "x.heic")


def test_a_file_that_grew_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.jpg").write_bytes(bytes(100))
    monkeypatch.setattr(photos, "MAX_BYTES", 99)
    with pytest.raises(EdgenetError, match="larger than"):
        read_photo(tmp_path / "x.jpg")
