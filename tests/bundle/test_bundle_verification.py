"""Every fault of a bundle is reported in one line, never as a traceback and never as wrong contents."""

from __future__ import annotations

import io
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_parts import Change, with_manifest

from edgenet.bundle import open_bundle
from edgenet.errors import EdgenetError
from edgenet.manifest import SCHEMA_VERSION

Rebuild = Callable[[Change], Path]


def refused(path: Path) -> str:
    """The error for a bundle, which must name the file and be one line."""
    with pytest.raises(EdgenetError) as caught:
        open_bundle(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert caught.value.remedy
    return message


def rewritten(bundle: Path, write: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> Path:
    """A copy of the bundle in which every member was written by `write`."""
    path = bundle.with_name("rewritten.edgenet")
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            write(new, entry, old.read(entry))
    return path


def test_a_zip_made_by_another_tool_from_the_same_members_is_fine(bundle: Path, rebuilt: Rebuild) -> None:
    assert open_bundle(rebuilt(lambda members: dict(reversed(members.items())))) == open_bundle(bundle)


def test_missing_file_folder_and_other_files(tmp_path: Path, model: bytes) -> None:
    assert "cannot be read (No such file or directory)" in refused(tmp_path / "none.edgenet")
    assert "this is a folder" in refused(tmp_path)
    for content in (b"", b"PK", model, b"PK\x05\x06" + bytes(18)):
        (tmp_path / "other").write_bytes(content)
        assert "not a zip archive" in refused(tmp_path / "other")


def test_an_enormous_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "video.edgenet"
    with path.open("wb") as handle:
        handle.truncate(1 << 40)  # sparse: takes no room
    assert "larger than 1 GiB" in refused(path)


def test_cut_off_anywhere(bundle: Path) -> None:
    whole = bundle.read_bytes()
    for length in range(4, len(whole), 41):
        bundle.write_bytes(whole[:length])
        assert "damaged or cut off" in refused(bundle)


@pytest.mark.parametrize("name", ["manifest.json", "model.tflite", "labels.txt", "CARD.md"])
def test_a_changed_byte(bundle: Path, name: str) -> None:
    with zipfile.ZipFile(bundle) as archive:
        content = archive.read(name)
    data = bytearray(bundle.read_bytes())
    data[data.index(content) + len(content) // 2] ^= 1
    bundle.write_bytes(data)
    assert f"Bad CRC-32 for file '{name}'" in refused(bundle)


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt", "CARD.md"])
def test_a_member_replaced_with_care(rebuilt: Rebuild, name: str) -> None:
    """The zip's own checksum is right; only the manifest shows the change."""

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        return {**members, name: members[name][:-1] + b"X"}

    assert f"{name} was changed: its checksum differs" in refused(rebuilt(change))
    longer = rebuilt(lambda members: {**members, name: members[name] + b"X"})
    assert f"{name} has " in refused(longer)


@pytest.mark.parametrize("name", ["manifest.json", "model.tflite", "labels.txt", "CARD.md"])
def test_a_missing_member(rebuilt: Rebuild, name: str) -> None:
    path = rebuilt(lambda members: {key: value for key, value in members.items() if key != name})
    assert f"the bundle has no {name}" in refused(path)


def test_an_extra_member(rebuilt: Rebuild) -> None:
    path = rebuilt(lambda members: {**members, "run.sh": b"#!/bin/sh\n"})
    assert "a member 'run.sh' that does not belong there" in refused(path)


@pytest.mark.parametrize(
    "name",
    ["../model.tflite", "/etc/passwd", "..\\model.tflite", "C:\\model.tflite", "a/../../b", "..", "b\0.txt"],
)
def test_a_path_that_climbs_out(bundle: Path, rebuilt: Rebuild, name: str) -> None:
    # zipfile itself cleans a NUL away when writing, so it is put into the finished file.
    path = rebuilt(lambda members: {**members, name.replace("\0", "#"): b"evil"})
    path.write_bytes(path.read_bytes().replace(b"b#.txt", b"b\0.txt"))
    assert f"member {name!r} leads out of its folder" in refused(path)


def test_a_folder_within(rebuilt: Rebuild) -> None:
    assert "lies in a folder" in refused(rebuilt(lambda members: {**members, "docs/": b""}))


def test_a_link(bundle: Path) -> None:
    def write(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        if entry.filename == "labels.txt":
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            data = b"/etc/passwd"
        new.writestr(entry, data)

    assert "member 'labels.txt' is a link or device" in refused(rewritten(bundle, write))


def test_the_same_name_twice(bundle: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("labels.txt", "red\ngreen\nblue\n")
    assert "holds 'labels.txt' twice" in refused(bundle)


def test_a_compressed_member(bundle: Path) -> None:
    path = rewritten(
        bundle, lambda new, entry, data: new.writestr(entry.filename, data, zipfile.ZIP_DEFLATED)
    )
    assert "'manifest.json' is compressed or encrypted" in refused(path)


def test_an_encrypted_member(bundle: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    bundle.write_bytes(data)
    assert "'CARD.md' is compressed or encrypted" in refused(bundle)


@pytest.mark.parametrize("offset", [20, 24], ids=["compressed", "uncompressed"])
def test_a_lie_about_the_size(bundle: Path, offset: int) -> None:
    data = bytearray(bundle.read_bytes())
    place = data.rindex(b"PK\x01\x02") + offset
    data[place : place + 4] = (0xFFFFFF00).to_bytes(4, "little")
    bundle.write_bytes(data)
    assert "'CARD.md' gives two different sizes" in refused(bundle)


def test_the_same_lie_in_both_places(bundle: Path) -> None:
    data = bytearray(bundle.read_bytes())
    place = data.rindex(b"PK\x01\x02") + 20
    data[place : place + 8] = (0xFFFFFF00).to_bytes(4, "little") * 2
    bundle.write_bytes(data)
    assert "CARD.md has 4294967040 bytes, the manifest says" in refused(bundle)


def test_a_newer_schema_says_which_and_what_to_do(rebuilt: Rebuild) -> None:
    """Also when the newer schema has members and fields that this one does not know."""

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        newer = with_manifest(lambda manifest: manifest.update(schema_version=SCHEMA_VERSION + 1, x=1))
        return {**newer(members), "video.mp4": b""}

    message = refused(rebuilt(change))
    assert f"has schema {SCHEMA_VERSION + 1} and this edgenet reads up to {SCHEMA_VERSION}" in message
    assert "upgrade edgenet" in message


def put(place: str, value: Any) -> Change:
    """Sets one value in the manifest; `place` is a dotted path."""

    def change(manifest: dict[str, Any]) -> None:
        *parents, last = place.split("/")
        for parent in parents:
            manifest = manifest[parent]
        manifest[last] = value

    return with_manifest(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("schema_version", "1"), "has no schema_version"),
        (put("schema_version", True), "has no schema_version"),
        (put("schema_version", 0), "has no schema_version"),
        (put("classes", "3"), "manifest.json: classes has '3' where the type int belongs"),
        (put("classes", True), "manifest.json: classes has True where the type int belongs"),
        (put("input/height", None), "manifest.json: input.height has None where the type int belongs"),
        (put("quantization/steps", ["ranges", 3]), r"manifest.json: quantization.steps[1] has 3"),
        (put("members/model.tflite/sha256", "0" * 63), "is not a SHA-256"),
        (put("members/model.tflite/size", -1), "the size -1 is negative"),
        (put("members/model.tflite", None), "manifest.json: members.model.tflite has None"),
        (put("members/extra", {"sha256": "0" * 64, "size": 1}), "a member 'extra' that does not belong"),
        (put("surprise", 1), "manifest.json: 'surprise' is not a known field"),
        (put("width", 10**400), "is not JSON: it holds a whole number of 401 digits"),
        (put("accuracy/int8_top1", float("nan")), "is not JSON: NaN is not a JSON number"),
        (put("classes", 4), "labels.txt names 3 classes and the manifest says 4"),
        (with_manifest(lambda m: m.pop("weights")), "manifest.json: weights is missing"),
        (with_manifest(lambda m: m["members"].pop("CARD.md")), "manifest.json does not list CARD.md"),
        (lambda members: {**members, "manifest.json": b"[1]"}, "has no schema_version"),
        (lambda members: {**members, "manifest.json": b"\xff\xfe{"}, "is not JSON"),
        (lambda members: {**members, "manifest.json": b"[" * 100_000}, "is not JSON"),
    ],
)
def test_a_wrong_manifest(rebuilt: Rebuild, change: Change, message: str) -> None:
    assert message in refused(rebuilt(change))


def test_random_damage_is_found_or_harmless(bundle: Path) -> None:
    """300 times a few random bytes: the very same contents, or an EdgenetError, never anything else."""
    rng = random.Random(2)
    whole, good = bundle.read_bytes(), open_bundle(bundle)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        directory = archive.start_dir
    errors = 0
    for turn in range(300):
        data = bytearray(whole)
        # Every second time in the zip's directory, which is small and where the parser's branches are.
        first = directory if turn % 2 else 0
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(first, len(data))] = rng.randrange(256)
        bundle.write_bytes(data)
        try:
            assert open_bundle(bundle) == good
        except EdgenetError:
            errors += 1
    assert errors > 150
