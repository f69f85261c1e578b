"""Bundles and models that were changed on the way, given to every verb that opens them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Edgenet
from small_network import LABELS, PHOTOS

from edgenet.files import stored_zip

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for label, photo in zip(LABELS, sorted(PHOTOS.glob("*.jpg")), strict=False):
        (root / label).mkdir()
        shutil.copyfile(photo, root / label / "photo.jpg")
    return root


@pytest.fixture
def refused(edgenet: Edgenet, photos: Path, tmp_path: Path) -> Callable[..., None]:
    """Gives a file to `evaluate` and `inspect`, which must both refuse it with the parts in one line."""

    def check(path: Path, *parts: str) -> None:
        before = path.read_bytes() if path.is_file() else None
        for arguments in (("inspect", path), ("evaluate", path, "--data", photos)):
            edgenet(*arguments).refusal(str(path), *parts)
        assert before is None or path.read_bytes() == before

    return check


@pytest.fixture
def rebuilt(made: Path, tmp_path: Path) -> Callable[[Callable[[Members], Members]], Path]:
    """A well-formed zip of the bundle's members after a change to them."""

    def rebuild(change: Callable[[Members], Members]) -> Path:
        with zipfile.ZipFile(made / "int8.edgenet") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        path = tmp_path / "changed.edgenet"
        path.write_bytes(stored_zip(change(members)))
        return path

    return rebuild


def test_the_bundle_itself_is_fine(edgenet: Edgenet, made: Path, photos: Path) -> None:
    assert edgenet("inspect", made / "int8.edgenet", "--json").json()["labels"] == 5
    assert edgenet("evaluate", made / "int8.edgenet", "--data", photos, "--json").json()["n"] == 5


@pytest.mark.parametrize("member", ["model.tflite", "labels.txt"])
def test_a_changed_byte(refused: Callable, made: Path, tmp_path: Path, member: str) -> None:
    data = bytearray((made / "int8.edgenet").read_bytes())
    with zipfile.ZipFile(made / "int8.edgenet") as archive:
        place = archive.getinfo(member).header_offset + 30 + len(member) + 1
    data[place] ^= 1
    (tmp_path / "net.edgenet").write_bytes(data)
    refused(tmp_path / "net.edgenet", "damaged")


def test_a_changed_member_in_a_sound_zip(refused: Callable, rebuilt: Callable) -> None:
    def change(members: Members) -> Members:
        model = bytearray(members["model.tflite"])
        model[len(model) // 2] ^= 1
        return {**members, "model.tflite": bytes(model)}

    refused(rebuilt(change), "model.tflite was changed: its checksum differs")


@pytest.mark.parametrize("member", ["manifest.json", "model.tflite", "labels.txt", "CARD.md"])
def test_a_missing_member(refused: Callable, rebuilt: Callable, member: str) -> None:
    refused(rebuilt(lambda members: {k: v for k, v in members.items() if k != member}), member)


def test_a_newer_schema(refused: Callable, rebuilt: Callable) -> None:
    def change(members: Members) -> Members:
        manifest = json.loads(members["manifest.json"])
        manifest["schema_version"] = 99
        return {**members, "manifest.json": json.dumps(manifest).encode()}

    refused(rebuilt(change), "schema 99", "upgrade edgenet")


@pytest.mark.parametrize("name", ["../../climbed.txt", "/tmp/climbed.txt", "a/../../climbed.txt"])
def test_a_path_that_climbs_out_is_never_written(
    refused: Callable, rebuilt: Callable, tmp_path: Path, name: str
) -> None:
    path = rebuilt(lambda members: {**members, name: b"climbed"})
    refused(path, "climbed.txt", "leads out of its folder", "do not use this file")
    assert not list(tmp_path.parent.glob("climbed.txt"))
    assert not Path("/tmp/climbed.txt").exists()


def test_cut_off(refused: Callable, made: Path, tmp_path: Path) -> None:
    whole = (made / "int8.edgenet").read_bytes()
    path = tmp_path / "net.edgenet"
    for length in (3, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path)


def test_empty_missing_and_folder(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "empty.edgenet").write_bytes(b"")
    refused(tmp_path / "empty.edgenet", "is empty (0 bytes)")
    refused(tmp_path / "none.edgenet", "does not exist")
    (tmp_path / "folder.edgenet").mkdir()
    refused(tmp_path / "folder.edgenet", "is a folder")
