"""Targets that read what users bring to train with: archives, tables, labels, photos, videos, decisions of a review."""

from __future__ import annotations

import io
import json
import random
import zipfile
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from edgenet_device.frames.source import Camera  # before the first film is written: it makes FFmpeg silent

from edgenet.data.label_tables import (
    PhotoFinder,
    is_for_objects,
    names_files_and_classes,
    read_labels_csv,
    read_one_hot,
    read_plain_table,
)
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos, split_folders
from edgenet.workflows.photo_arguments import label_names
from edgenet.workflows.review import FORMAT, apply_review
from tools.fuzz.mutations import (
    BINARY,
    TEXT,
    Mutation,
    bomb,
    bytes_changed,
    fields_replaced,
    json_changed,
    members_changed,
    words_put_in,
    zip_changed,
)
from tools.fuzz.verdicts import Check, refusable
from tools.fuzz.workers import Target

cv2.setNumThreads(0)  # OpenCV's threads would not survive the fork of a worker
_NAMES = ("a/1.png", "a/2.png", "b/1.png", "b/3.jpg", "1.png", "c d/é.png")


@cache
def photo_seeds() -> dict[str, bytes]:
    """Return a small photo in every format that can be written here."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    smooth = cv2.GaussianBlur(pixels, (9, 9), 0)
    found = {}
    for suffix in (".jpg", ".png", ".bmp", ".tiff", ".webp", ".jp2", ".gif", ".ppm", ".pgm", ".avif", ".pnm"):
        try:
            good, data = cv2.imencode(suffix, smooth[..., 0] if suffix == ".pgm" else smooth)
        except cv2.error:
            continue
        if good:
            found[suffix] = data.tobytes()
    found["progressive"] = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    found["grey"] = cv2.imencode(".png", smooth[..., 0])[1].tobytes()
    found["16 bit"] = cv2.imencode(".png", smooth.astype(np.uint16) * 257)[1].tobytes()
    jpeg = found[".jpg"]
    turn = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    found["turned"] = jpeg[:2] + b"\xff\xe1" + (len(turn) + 2).to_bytes(2, "big") + turn + jpeg[2:]
    try:
        import pillow_heif

        buffer = io.BytesIO()
        pillow_heif.from_bytes("RGB", (32, 24), smooth.tobytes()).save(buffer)
        found["heic"] = buffer.getvalue()
    except (ImportError, OSError, RuntimeError, ValueError):
        pass  # this machine writes none
    return found


def png_header_changed(data: bytes, rng: random.Random) -> bytes:
    """Change a PNG's chunks and write right checksums, which a decoder would otherwise stumble over first."""
    if not data.startswith(b"\x89PNG"):
        return rng.choice(BINARY)(data, rng)
    place, parts = 8, []
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        parts.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    if not parts:
        return data
    chosen = rng.randrange(len(parts))
    kind, content = parts[chosen]
    parts[chosen] = (kind, rng.choice(BINARY)(content, rng)[: 1 << 20])
    if rng.random() < 0.2:
        parts.insert(chosen, rng.choice(parts))
    return data[:8] + b"".join(
        len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in parts
    )


def photos(folder: Path) -> Check:
    """Decode a photo as training, calibration and the device do."""
    from edgenet_device.collecting.collector import Collector
    from edgenet_device.frames.photos import read_photo

    def check(data: bytes) -> None:
        (folder / "1.jpg").write_bytes(data)
        Collector(folder)
        pixels = read_photo(data, "photo")
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3

    return check


@cache
def video_seeds() -> dict[str, bytes]:
    """Return clips of a few frames in every container that can be written here."""
    import tempfile

    frames = np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), np.uint8)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix, code in (
            (".avi", "MJPG"),
            (".mp4", "mp4v"),
            (".mkv", "MJPG"),
            (".mov", "mp4v"),
            (".webm", "VP80"),
        ):
            path = Path(folder) / f"clip{suffix}"
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, (64, 48))
            for frame in frames:
                writer.write(frame)
            writer.release()
            if path.exists() and path.stat().st_size:
                found[suffix] = path.read_bytes()
    return found


def videos(folder: Path) -> Check:
    """Play the first frames of a file as `classify.py` and `camera.py` do; the file's ending says nothing."""
    from edgenet_device.live.outputs import recording_rate

    path = folder / "clip.mp4"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        assert 1 <= recording_rate(str(path)) <= 240
        with Camera(str(path), every_frame=True, note=lambda text: None) as camera:
            for number, frame in enumerate(camera):
                assert frame.pixels.dtype == np.uint8
                if number == 3:
                    break

    return check


def archives(folder: Path) -> Check:
    """Open a zip of photos as `train` and `evaluate` do, and read its first photos."""
    path = folder / "photos.zip"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        splits = split_folders(path)
        found = open_photos(path, split=splits[0] if splits else None)
        refusable(lambda: load_all(found.take(range(min(len(found), 3))), 32))
        found.account(len(found), [])

    return check


@cache
def archive_seeds() -> dict[str, bytes]:
    """Return zips of photos in the forms in which people pack them."""
    picture = photo_seeds()[".png"]
    rows = b"file,class_index,name\n" + b"".join(
        b"%s,%d,%s\n" % (name.encode(), name[0] == "b", b"ab"[name[0] == "b" :][:1]) for name in _NAMES[:4]
    )
    one_hot = b"filename,cat,dog\n1.png,1,0\n2.png,0,1\n"
    forms: dict[str, dict[str, bytes]] = {
        "folders": dict.fromkeys(_NAMES[:4], picture),
        "table": {**dict.fromkeys(_NAMES[:4], picture), "labels.csv": rows},
        "splits": {f"set/{split}/{name}": picture for split in ("train", "val") for name in _NAMES[:3]},
        "one hot": {"train/1.png": picture, "train/2.png": picture, "train/_classes.csv": one_hot},
        "plain": {
            "images/1.png": picture,
            "images/2.png": picture,
            "train.csv": b"image_id,label\n1,cat\n2,dog\n",
        },
        "mac": {
            "a/1.png": picture,
            "b/2.png": picture,
            "__MACOSX/a/._1.png": b"x",
            "b/.DS_Store": b"x",
            "b/x.heic": b"x",
        },
    }
    found = {}
    for name, members in forms.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(zipfile.ZipInfo(member), content)
        found[name] = buffer.getvalue()
    return found


@cache
def table_seeds() -> dict[str, bytes]:
    """Return tables of the three kinds, in the dialects that spreadsheets write."""
    return {
        "labels": b"file,class_index,name\na/1.png,0,cat\na/2.png,0,cat\nb/1.png,1,dog\n",
        "one hot": b"filename, cat, dog\na/1.png,1,0\nb/1.png,0,1\n",
        "plain": b"image_id;label\r\na/1;cat\r\nb/3;dog\r\n",
        "tabs": b"\xef\xbb\xbffile\tclass\n1.png\t3\nb/1.png\t12\n",
        "quoted": b'"file","class"\n"a/1.png","a ""b"" c"\n"a/2.png","d,\ne"\n',
        "boxes": b"file,xmin,ymin,xmax,ymax,class\na/1.png,1,2,3,4,cat\n",
    }


def tables(folder: Path) -> Check:
    """Read a table with every reader of tables; nothing is taken only if all refuse it."""
    finder = PhotoFinder(_NAMES, _NAMES)

    def check(data: bytes) -> None:
        refusable(lambda: is_for_objects(data, "t.csv"))
        refusable(lambda: read_one_hot(data, finder, "t.csv"))
        if not refusable(lambda: names_files_and_classes(data, "t.csv")) or not refusable(
            lambda: read_plain_table(data, finder, "t.csv")
        ):
            read_labels_csv(data, list(_NAMES), "t.csv")

    return check


@cache
def label_seeds() -> dict[str, bytes]:
    """Return labels files."""
    return {
        "plain": b"cat\ndog\nbird\n",
        "crlf": "\ufeffKatze\r\nHündin\r\n".encode(),
        "numbered": b"0 cat\n1 dog\n2 bird\n",
    }


def labels(folder: Path) -> Check:
    """Read a labels file as the host and as the device do, and show the names as a device does."""
    from edgenet_device.foreign_text import LONGEST_LABEL, one_line
    from edgenet_device.model_file import parse_labels

    path = folder / "labels.txt"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        there = refusable(lambda: parse_labels(data, "labels.txt"))
        for name in there or ():
            shown = one_line(name, LONGEST_LABEL)
            assert shown.isprintable() or set(shown) & {"\u200c", "\u200d"}, repr(shown)
            assert len(shown) <= LONGEST_LABEL
        label_names(path)

    return check


@cache
def decision_seeds() -> dict[str, bytes]:
    """Return decisions as a report's page writes them."""
    import hashlib

    digest = hashlib.sha256(photo_seeds()[".png"]).hexdigest()
    rows = [
        {"file": "a/1.png", "sha256": digest, "class": "a", "action": "move", "to": "b"},
        {"file": "b/1.png", "sha256": digest, "class": "b", "action": "set aside", "to": None},
    ]
    return {"two": json.dumps({"format": FORMAT, "decisions": rows}).encode()}


def decisions(folder: Path) -> Check:
    """Read a review.json, list it, and carry it out on a folder that is made anew; no photo may vanish."""
    import shutil

    path, root = folder / "review.json", folder / "data" / "photos"
    picture = photo_seeds()[".png"]

    def check(data: bytes) -> None:
        path.write_bytes(data)
        apply_review(path, root, list_file=folder / "list.csv")
        shutil.rmtree(root.parent, ignore_errors=True)
        for name in _NAMES[:3]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(picture)
        try:
            apply_review(path, root)
        finally:
            left = len(list(root.parent.rglob("*.png")))
            assert left == 3, f"{left} of 3 photos are left"

    return check


def rarely_a_bomb(data: bytes, rng: random.Random) -> bytes:
    """Give one of fifty archives megabytes of zeros, because packing them takes most of the time."""
    return bomb(data, rng) if rng.random() < 0.02 else zip_changed(data, rng)


_ARCHIVES: tuple[Mutation, ...] = (
    *BINARY,
    zip_changed,
    zip_changed,
    rarely_a_bomb,
    *(members_changed(change) for change in (words_put_in, fields_replaced, fields_replaced, bytes_changed)),
)

TARGETS = (
    Target(
        "archive",
        "zips of photos",
        ("edgenet.data.folders", "edgenet.data.photos", "edgenet.data.loading", "edgenet.files"),
        archive_seeds,
        _ARCHIVES,
        archives,
    ),
    Target("csv", "tables of labels", ("edgenet.data.label_tables",), table_seeds, TEXT, tables),
    Target(
        "labels",
        "labels files",
        (
            "edgenet.data.labels",
            "edgenet.workflows.photo_arguments",
            "edgenet.files",
            "edgenet_device.model_file",
        ),
        label_seeds,
        TEXT,
        labels,
    ),
    Target(
        "photo",
        "photos",
        (
            "edgenet_device.collecting.collector",
            "edgenet_device.frames.photos",
            "edgenet_device.frames.photo_structure",
        ),
        photo_seeds,
        (*BINARY, *BINARY, png_header_changed),
        photos,
    ),
    Target(
        "video",
        "videos",
        ("edgenet_device.frames.files", "edgenet_device.live.outputs"),
        video_seeds,
        BINARY,
        videos,
    ),
    Target(
        "review",
        "review.json",
        ("edgenet.workflows.review",),
        decision_seeds,
        (json_changed, json_changed, json_changed, *TEXT),
        decisions,
    ),
)
