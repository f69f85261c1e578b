"""Files from outside are read within limits: JSON, tables, archives, photos and models."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from edgenet_device import model_file
from edgenet_device.foreign_text import read_json
from edgenet_device.frames.photo_structure import stated_size
from edgenet_device.frames.photos import read_photo
from edgenet_device.model_file import open_model

from edgenet.data import label_tables
from edgenet.data.folders import open_files
from edgenet.data.label_tables import read_labels_csv
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.latency.reading import Fields, read_file
from edgenet.manifest import from_json
from edgenet.workflows.photo_arguments import label_names
from edgenet.zoo.readers import load_network


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1" * 401, "a whole number of 401 digits"),
        ("-" + "9" * 100_000, "a whole number of 100000 digits"),
        (str(1 << 63), "a whole number of 19 digits"),
        ("1e999", "which is too large"),
        ("NaN", "not a JSON number"),
        ("-Infinity", "not a JSON number"),
        ("[" * 200_000, "nested too deeply"),
        ('"\\ud800"', "a lone surrogate"),
        (b"\xff\xfe", "utf-8"),
        ("{", "Expecting"),
        (" " * 101, "longer than 100"),
    ],
)
def test_json_out_of_range_is_refused_in_one_line(text: str | bytes, found: str) -> None:
    with pytest.raises(ValueError, match=found) as error:
        read_json(text, most=100 if found.startswith("longer") else 1 << 20)
    assert len(str(error.value)) < 200


def test_json_in_range_is_read() -> None:
    value = {"n": (1 << 63) - 1, "x": [1e308, -1, True, None], "text": "\N{DOG FACE} \\ud \x7f"}
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_report_with_a_huge_integer_is_one_line(command: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text('{"schema": "edgenet.latency.v1", "model": {"size_bytes": 1' + "0" * 400 + "}}")
    start = "import sys; from edgenet.commands.app import main; main()"
    words = [command, path, path] if command == "compare" else [command, path, "--out", tmp_path / "out.html"]
    done = subprocess.run([sys.executable, "-c", start, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not a latency report: it holds a whole number of 401 digits" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_field_of_a_report_that_another_reader_parsed_is_checked() -> None:
    for value in (10**400, 10**5000, -(10**30)):
        fields = Fields({"n": value, "list": [1, value]}, "r.json")
        for ask in (
            lambda f=fields: f.number("n"),
            lambda f=fields: f.integer("n"),
            lambda f=fields: f.numbers("list"),
        ):
            with pytest.raises(EdgenetError):
                ask()


def test_a_manifest_with_a_huge_integer_is_refused() -> None:
    with pytest.raises(EdgenetError, match="digits"):
        from_json(b'{"schema_version": 1' + b"0" * 400 + b"}")


def test_a_huge_report_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a file with a hole: it takes no room on the disk
    with pytest.raises(EdgenetError, match="larger than 16 MiB"):
        read_file(path)
    with pytest.raises(EdgenetError, match="larger than 8 MiB"):
        label_names(path)


def test_thousands_of_digits_are_no_class_index() -> None:
    with pytest.raises(EdgenetError, match="has the class index"):
        read_labels_csv(b"file,class_index\na.png," + b"1" * 5000, ["a.png"], "labels.csv")
    zeros = read_labels_csv(b"file,class_index\na.png," + b"0" * 5000, ["a.png"], "labels.csv")
    assert zeros.labels == (0,)


def test_a_table_of_many_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_tables, "MAX_ROWS", 10)
    with pytest.raises(EdgenetError, match="more than 10 lines"):
        read_labels_csv(b"file,class_index\n" + b"a.png,0\n" * 20, ["a.png"], "labels.csv")


def zeros_zip(path: Path, name: str, size: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return path


@pytest.mark.parametrize("name", ["labels.csv", "a/1.png"])
def test_a_zip_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path: Path, name: str) -> None:
    path = zeros_zip(tmp_path / "bomb.zip", name, 80 << 20)
    with pytest.raises(EdgenetError, match="would unpack to 83,886,080"):
        open_photos(path)


def test_a_zip_whose_members_overlap_is_refused(tmp_path: Path) -> None:
    """Many entries of the directory may name the same packed bytes."""
    path = zeros_zip(tmp_path / "a.zip", "a.png", 2 << 20)
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02")
    entry, end = data[directory : data.index(b"PK\x05\x06")], data[data.index(b"PK\x05\x06") :]
    times = 500
    end = end[:8] + struct.pack("<HHI", times, times, len(entry) * times) + end[16:]
    path.write_bytes(data[:directory] + entry * times + end)
    with pytest.raises(EdgenetError, match="would unpack to"):
        open_files(path).names()


def test_weights_that_unpack_to_much_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "slim.npz", **{"MobilenetV1/Conv2d_0/weights": np.zeros(20 << 20, np.float32)}
    )
    with pytest.raises(EdgenetError, match="would unpack to"):
        load_network(str(tmp_path / "slim.npz"), None)


def test_a_bundle_that_unpacks_to_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zeros_zip(tmp_path / "m.edgenet", "model.tflite", 2 << 20)
    monkeypatch.setattr(model_file, "_MOST_UNPACKED", 1 << 20)
    with pytest.raises(EdgenetError, match="would unpack to"):
        open_model(path)


def test_a_model_that_never_ends_is_not_read() -> None:
    with pytest.raises(EdgenetError, match="is not a regular file"):
        open_model("/dev/zero")


def _png(width: int, height: int) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")
    )


def _riff(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


PHOTOS = {
    "png": _png(20_000, 20_000),
    "bmp": b"BM" + struct.pack("<IHHIIii", 54, 0, 0, 54, 40, 20_000, -20_000) + bytes(28),
    "gif": b"GIF89a" + struct.pack("<HH", 20_000, 20_000) + bytes(20),
    "ppm": b"P6\n# by hand\n20000 20000\n255\n",
    "webp": _riff(b"VP8X", bytes(4) + (19_999).to_bytes(3, "little") * 2 + bytes(10)),
    "lossless": _riff(b"VP8L", b"\x2f" + struct.pack("<I", 16_383 | 16_383 << 14) + bytes(10)),
    "lossy": _riff(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383) + bytes(10)),
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(12) + b"ihdr" + struct.pack(">II", 20_000, 20_000),
}


@pytest.mark.parametrize("kind", PHOTOS)
def test_photos_of_many_pixels_are_refused_before_they_are_decoded(kind: str) -> None:
    with pytest.raises(EdgenetError, match="pixels, too many to decode"):
        read_photo(PHOTOS[kind], kind)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".pgm", ".webp", ".jp2", ".tiff", ".gif"])
def test_the_stated_size_is_the_decoded_one(suffix: str) -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    if suffix == ".pgm":
        pixels = pixels[..., 0]
    try:
        encoded, data = cv2.imencode(suffix, pixels)
    except cv2.error:
        encoded = False
    if not encoded:
        pytest.skip(f"this OpenCV does not write {suffix}")
    assert stated_size(data.tobytes()) == (53, 37)


def test_an_archive_of_good_photos_is_read(tmp_path: Path) -> None:
    import cv2

    picture = cv2.imencode(".png", np.zeros((400, 400, 3), np.uint8))[1].tobytes()
    with zipfile.ZipFile(tmp_path / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"{'ab'[number % 2]}/{number}.png", picture)
    photos = open_photos(tmp_path / "good.zip")
    assert photos.read(0).shape == (400, 400, 3)
    assert photos.read_bytes(0) == picture
