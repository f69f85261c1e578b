"""`edgenet train --review`: photos are moved as ticked, and nothing else ever is."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.workflows.review import apply_review, read_decisions


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed, name in enumerate(("bolt/1.png", "bolt/2.png", "bolt/x/3.png", "nut/1.png", "nut/4.png")):
        photo(folder / name, seed)
    return folder


def tick(folder: Path, file: str, to: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a decision about a photo, as the page writes it: move it, or set it aside."""
    path = folder / file
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "0" * 64
    found = {"file": file, "sha256": content, "class": file.split("/")[-2] if "/" in file else ""}
    return {**found, **({"action": "set aside"} if to is None else {"action": "move", "to": to}), **changes}


def decided(folder: Path, *decisions: dict[str, Any]) -> Path:
    path = folder.parent / "review.json"
    path.write_text(json.dumps({"format": "edgenet.review.v1", "data": "photos", "decisions": decisions}))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_photos_are_moved_and_set_aside(photos: Path) -> None:
    before = files(photos)
    lines: list[str] = []
    review = decided(photos, tick(photos, "bolt/2.png", "nut"), tick(photos, "nut/4.png"))
    result = apply_review(review, photos, log=lines.append)
    aside = photos.parent / "photos-set-aside" / "nut" / "4.png"
    assert result.moved == (("bolt/2.png", "nut/2.png"),)
    assert result.set_aside == (("nut/4.png", str(aside)),)
    assert lines == ["moved bolt/2.png to nut/2.png", f"set aside nut/4.png in {aside}"]
    after = files(photos)
    assert after["nut/2.png"] == before["bolt/2.png"]
    assert aside.read_bytes() == before["nut/4.png"]
    assert sorted([*after.values(), aside.read_bytes()]) == sorted(before.values())
    assert open_photos(photos).names == ("bolt/1.png", "bolt/x/3.png", "nut/1.png", "nut/2.png")


def test_a_taken_name_is_made_longer_and_nothing_is_overwritten(photos: Path) -> None:
    before = files(photos)
    apply_review(decided(photos, tick(photos, "bolt/1.png", "nut")), photos)
    after = files(photos)
    assert after["nut/1.png"] == before["nut/1.png"]
    assert after["nut/1 from bolt.png"] == before["bolt/1.png"]


def test_nothing_is_moved_if_both_names_are_taken(photos: Path) -> None:
    photo(photos / "nut" / "1 from bolt.png", 9)
    before = files(photos)
    review = decided(photos, tick(photos, "bolt/2.png", "nut"), tick(photos, "bolt/1.png", "nut"))
    with pytest.raises(
        EdgenetError, match=r"nut/1\.png exists already, so bolt/1\.png cannot be moved there"
    ):
        apply_review(review, photos)
    assert files(photos) == before


def test_subfolders_and_splits_are_kept(tmp_path: Path) -> None:
    data = tmp_path / "set"
    for seed, name in enumerate(
        ("train/a/1.png", "train/b/s/2.png", "train/b/5.png", "val/a/3.png", "val/a/6.png", "val/c/4.png")
    ):
        photo(data / name, seed)
    apply_review(
        decided(data, tick(data, "train/b/s/2.png", "a", **{"class": "b"}), tick(data, "val/a/3.png", "c")),
        data,
    )
    assert sorted(files(data)) == [
        "train/a/1.png",
        "train/a/s/2.png",
        "train/b/5.png",
        "val/a/6.png",
        "val/c/3.png",
        "val/c/4.png",
    ]
    with pytest.raises(EdgenetError, match=r"there is no class c to move train/a/1\.png to"):
        apply_review(decided(data, tick(data, "train/a/1.png", "c")), data)


def test_the_folder_for_set_aside_photos_is_no_class_beside_a_split(tmp_path: Path) -> None:
    data = tmp_path / "set" / "train"
    for seed, name in enumerate(("a/1.png", "a/2.png", "b/3.png")):
        photo(data / name, seed)
    apply_review(decided(data, tick(data, "a/1.png")), data)
    assert (tmp_path / "set-set-aside" / "a" / "1.png").is_file()
    assert [path.name for path in (tmp_path / "set").iterdir() if path.is_dir()] == ["train"]


def test_the_same_review_again_does_nothing(photos: Path) -> None:
    review = decided(
        photos,
        tick(photos, "bolt/1.png", "nut"),
        tick(photos, "bolt/x/3.png", "nut"),
        tick(photos, "nut/4.png"),
    )
    assert len(apply_review(review, photos).moved) == 2
    before = files(photos.parent)
    again = apply_review(review, photos)
    assert (again.moved, again.set_aside, again.done_before) == ((), (), 3)
    assert files(photos.parent) == before


def test_a_changed_photo_stops_it_before_anything_is_moved(photos: Path) -> None:
    review = decided(photos, tick(photos, "nut/4.png", "bolt"), tick(photos, "bolt/2.png", "nut"))
    photo(photos / "bolt" / "2.png", 77)
    before = files(photos)
    with pytest.raises(EdgenetError, match=r"bolt/2\.png was changed after the page was made"):
        apply_review(review, photos)
    assert files(photos) == before


@pytest.mark.parametrize(
    "file",
    [
        "../secret.png",
        "bolt/../../secret.png",
        "/etc/hostname",
        "bolt/\0.png",
        "",
        "bolt/none.png",
        "bolt",
        ".",
    ],
)
def test_no_path_leaves_the_folder(photos: Path, file: str) -> None:
    photo(photos.parent / "secret.png", 5)
    before = files(photos.parent)
    review = decided(photos, {**tick(photos, "bolt/1.png", "nut"), "file": file})
    with pytest.raises(EdgenetError, match=r"is not a file of decisions|is not among the photos"):
        apply_review(review, photos)
    assert {name: data for name, data in files(photos.parent).items() if name != "review.json"} == before


@pytest.mark.parametrize("to", ["../outside", "/tmp", "", "..", "bolt/x", "no such class"])
def test_only_a_class_is_a_target(photos: Path, to: str) -> None:
    before = files(photos)
    with pytest.raises(EdgenetError, match="there is no class"):
        apply_review(decided(photos, tick(photos, "bolt/1.png", to)), photos)
    assert files(photos) == before


def test_links_are_left_alone(photos: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    photo(elsewhere / "9.png", 9)
    (photos / "nail").symlink_to(elsewhere, target_is_directory=True)
    (photos / "nut" / "link.png").symlink_to(photos / "bolt" / "1.png")
    for decision in (
        tick(photos, "nail/9.png", "bolt"),
        tick(photos, "bolt/1.png", "nail"),
        tick(photos, "nut/link.png", "bolt"),
        tick(photos, "nail/9.png"),
    ):
        with pytest.raises(EdgenetError, match="is a link to another place"):
            apply_review(decided(photos, decision), photos)
    assert (elsewhere / "9.png").is_file()
    assert len(list(elsewhere.iterdir())) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"format": "edgenet.review.v2", "decisions": []}',
        '{"format": "edgenet.review.v1"}',
        '{"format": "edgenet.review.v1", "decisions": [7]}',
        '{"format": "edgenet.review.v1", "decisions": {"a": 1}}',
        '{"format": "edgenet.review.v1", "decisions": [{"file": 1, "sha256": "", "class": "", "action": "set aside"}]}',
        '{"format": "edgenet.review.v1", "decisions": [{"file": "a", "sha256": "", "class": "", "action": "delete"}]}',
        '{"format": "edgenet.review.v1", "decisions": [{"file": "a", "sha256": "", "class": "", "action": "move"}]}',
        "[" * 100_000,
        "\ufeff{",
    ],
)
def test_other_files_are_refused_in_one_line(photos: Path, text: str) -> None:
    path = photos.parent / "review.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EdgenetError, match="is not a file of decisions") as caught:
        read_decisions(path)
    assert "\n" not in str(caught.value)


def test_two_decisions_for_one_photo_are_refused(photos: Path) -> None:
    review = decided(photos, tick(photos, "bolt/1.png", "nut"), tick(photos, "bolt/1.png"))
    with pytest.raises(EdgenetError, match=r"two decisions for bolt/1\.png"):
        apply_review(review, photos)


def test_classes_from_a_table_can_only_be_listed(photos: Path) -> None:
    (photos / "labels.csv").write_text("file,class_index,name\nbolt/1.png,0,bolt\nnut/1.png,1,nut\n")
    review = decided(photos, tick(photos, "bolt/1.png", "nut"))
    before = files(photos)
    with pytest.raises(EdgenetError, match=r"come from labels\.csv, not from folders"):
        apply_review(review, photos)
    assert files(photos) == before


def test_a_list_for_another_tool(photos: Path, tmp_path: Path) -> None:
    before = files(photos)
    review = decided(photos, tick(photos, "bolt/1.png", "nut"), tick(photos, "nut/4.png"))
    apply_review(review, photos, list_file=tmp_path / "review.csv")
    rows = list(csv.DictReader((tmp_path / "review.csv").open(newline="", encoding="utf-8")))
    assert [(row["file"], row["label"], row["action"], row["new_label"]) for row in rows] == [
        ("bolt/1.png", "bolt", "move", "nut"),
        ("nut/4.png", "nut", "set aside", ""),
    ]
    assert files(photos) == before


@pytest.mark.skipif(os.name != "posix", reason="names that are no UTF-8")
def test_names_that_are_no_utf8_are_moved_and_listed(photos: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"bolt/\xff \xe2\x80\xae.png")
    try:
        photo(photos / name, 6)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    review = decided(photos, tick(photos, name, "nut"))
    lines: list[str] = []
    apply_review(review, photos, list_file=tmp_path / "list.csv")
    assert b"\xff" in (tmp_path / "list.csv").read_bytes()
    apply_review(review, photos, log=lines.append)
    assert (photos / name.replace("bolt", "nut")).is_file()
    "".join(lines).encode()
    assert "\u202e" not in lines[0]
