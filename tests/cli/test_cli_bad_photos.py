"""Calibration photos as people have them: some are odd, some are broken, some folders hold none."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Edgenet, Ran
from PIL import Image
from small_network import PHOTOS

OLD = b"an older file"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An older file at the place of the output; a failure must leave it whole."""
    path = tmp_path / "out" / "net.tflite"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "photos"
    path.mkdir()
    return path


def refused(edgenet: Edgenet, made: Path, out: Path, calibration: Path, *parts: str) -> str:
    ran = edgenet("convert", made / "small.safetensors", "-o", out, "--calibration", calibration)
    assert out.read_bytes() == OLD
    assert list(out.parent.iterdir()) == [out]
    return ran.refusal(str(calibration), *parts)


def encode(pixels: np.ndarray, kind: str = "JPEG", mode: str | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A smooth picture of many colours, 240x160."""
    y, x = np.mgrid[0:160, 0:240]
    return np.stack([x, y, 255 - (x + y) // 2], axis=2).astype(np.uint8)


def test_missing_folder(edgenet: Edgenet, made: Path, out: Path, tmp_path: Path) -> None:
    refused(edgenet, made, out, tmp_path / "nowhere", "does not exist; give a folder of photos")


def test_empty_folder(edgenet: Edgenet, made: Path, out: Path, folder: Path) -> None:
    refused(edgenet, made, out, folder, "no photos", "it is empty", "JPEG or PNG")


def test_folder_of_other_files(edgenet: Edgenet, made: Path, out: Path, folder: Path) -> None:
    (folder / "notes.txt").write_text("no photo")
    refused(edgenet, made, out, folder, "no photos", "notes.txt")


def test_a_file_that_is_not_a_zip(edgenet: Edgenet, made: Path, out: Path, tmp_path: Path) -> None:
    path = tmp_path / "photos.rar"
    path.write_bytes(b"Rar!" + bytes(100))
    refused(edgenet, made, out, path, "neither a folder nor a zip")


def test_all_unreadable(edgenet: Edgenet, made: Path, out: Path, folder: Path, scene: np.ndarray) -> None:
    (folder / "a.jpg").write_bytes(encode(scene)[:700])
    (folder / "b.png").write_bytes(b"this is no picture")
    refused(edgenet, made, out, folder, "none of the 2 photos", "can be read")


def test_a_damaged_zip_is_refused(
    edgenet: Edgenet, made: Path, out: Path, tmp_path: Path, scene: np.ndarray
) -> None:
    """One byte in the middle was changed."""
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.png", encode(np.roll(scene, 40 * number, axis=1), "PNG"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refused(edgenet, made, out, path, "cannot be unpacked", "zip it again")


GOOD = ("alpha.png", "cmyk.jpg", "deep.png", "good.jpg", "grey.jpg", "huge.jpg", "rotated.jpg")
BAD = {
    "empty.jpg": "0 bytes",
    "sliver.png": "at least 4",
    "text.jpg": "not a photo",
    "truncated.jpg": "truncated",
}


@pytest.fixture
def odd(folder: Path, scene: np.ndarray) -> Path:
    """Photos of every odd kind that can be read, and of every kind that cannot."""
    exif = Image.Exif()
    exif[0x112] = 6
    huge = np.repeat(np.repeat(scene, 32, axis=0), 33, axis=1)  # 7920x5120: 40 megapixels
    files = {
        "good.jpg": encode(scene),
        "grey.jpg": encode(scene, mode="L"),
        "cmyk.jpg": encode(scene[::-1], mode="CMYK"),
        "deep.png": encode(scene[..., 0].astype(np.uint16) * 257, "PNG"),
        "alpha.png": encode(np.dstack([scene, scene[..., :1]]), "PNG"),
        "rotated.jpg": encode(scene[:, ::-1], exif=exif),
        "huge.jpg": encode(huge, quality=30),
        "truncated.jpg": encode(scene)[:-300],
        "sliver.png": encode(scene[:, :1], "PNG"),
        "text.jpg": b"<html>404 not found</html>",
        "empty.jpg": b"",
    }
    assert set(files) == {*GOOD, *BAD}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def convert(edgenet: Edgenet, made: Path, out: Path, photos: Path, *options: object) -> Ran:
    arguments = ("-o", out, "--calibration", photos, "--recipe", "minmax")
    return edgenet("convert", made / "small.safetensors", *arguments, *options)


def test_good_photos_are_used_and_bad_ones_are_listed(
    edgenet: Edgenet, made: Path, out: Path, odd: Path
) -> None:
    result = convert(edgenet, made, out, odd, "--json").json()
    assert result["quantization"]["calibration_count"] == len(GOOD)
    skipped = dict(result["skipped"])
    assert set(skipped) == set(BAD)
    for name, reason in BAD.items():
        assert reason in skipped[name], skipped[name]


def test_omissions_are_reported_on_standard_error(edgenet: Edgenet, made: Path, out: Path, odd: Path) -> None:
    ran = convert(edgenet, made, out, odd)
    assert ran.status == 0
    lines = [line for line in ran.err.splitlines() if not line.startswith("warning: ")]
    assert lines[0] == "left out 4 unreadable photos:"
    assert sorted(line.split()[0].rstrip(":") for line in lines[1:]) == sorted(BAD)


def test_unreadable_photos_change_nothing(edgenet: Edgenet, made: Path, out: Path, odd: Path) -> None:
    """The same file, down to the calibration set's hash, as without them."""
    assert convert(edgenet, made, out, odd).status == 0
    with_bad = out.read_bytes()
    for name in BAD:
        (odd / name).unlink()
    assert "left out" not in convert(edgenet, made, out, odd).err
    assert out.read_bytes() == with_bad


def test_many_bad_photos_are_counted_not_all_listed(
    edgenet: Edgenet, made: Path, out: Path, folder: Path
) -> None:
    shutil.copyfile(next(PHOTOS.glob("*.jpg")), folder / "good.jpg")
    for number in range(14):
        (folder / f"bad{number}.jpg").write_bytes(b"no photo %d" % number)
    lines = convert(edgenet, made, out, folder).err.splitlines()
    assert lines[0] == "left out 14 unreadable photos:"
    assert lines[11] == "  and 4 more"
    assert all(line.startswith("warning: ") for line in lines[12:])


def test_a_folder_that_may_not_be_read(
    edgenet: Edgenet, made: Path, out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that `os.walk` may not read; root may read every folder, so the refusal is simulated."""

    def refuse(place: object) -> object:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(os, "scandir", refuse)
    refused(edgenet, made, out, folder, "Permission denied", "check its permissions")


def test_every_file_is_accounted_for(
    edgenet: Edgenet, made: Path, out: Path, folder: Path, scene: np.ndarray
) -> None:
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(encode(np.roll(scene, 40 * number, axis=1)))
    for name in ("IMG_1.MOV", "README.md", ".DS_Store", "bad\x1b[2J.jpg"):
        (folder / name).write_bytes(b"x")
    ran = convert(edgenet, made, out, folder)
    line = "7 files: 3 read as photos, 1 could not be read (1 .jpg), 1 not photos (1 .mov), 2 ignored (1 .md, 1 hidden)"
    assert f"  {line}" in ran.out.splitlines()
    assert "\x1b" not in ran.out + ran.err
    account = convert(edgenet, made, out, folder, "--json").json()["account"]
    assert (account["files"], account["read"], account["not_photos"]) == (7, 3, {".mov": 1})
    assert account["ignored"] == {".md": 1, "hidden": 1}


def test_the_photos_that_come_with_edgenet_need_no_account(edgenet: Edgenet, made: Path, out: Path) -> None:
    ran = edgenet(
        "convert",
        made / "small.safetensors",
        "-o",
        out,
        "--calibration",
        "builtin",
        "--recipe",
        "minmax",
        "--json",
    )
    assert ran.json()["account"] is None
