"""`edgenet convert --data --max-drop`: exit status, one line, which file is kept where, and what is reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import Edgenet, Ran
from small_network import LABELS, PHOTOS, label_by_float


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen photos under labels that a network with random weights has right by chance."""
    root = tmp_path_factory.mktemp("labelled")
    for number, photo in enumerate(sorted(PHOTOS.glob("*.jpg"))[:16]):
        place = root / LABELS[number % len(LABELS)]
        place.mkdir(exist_ok=True)
        shutil.copyfile(photo, place / photo.name)
    return root


def convert(edgenet: Edgenet, made: Path, out: Path, *options: object) -> Ran:
    arguments = ("-o", out, "--calibration", PHOTOS, "--photos", 8, "--recipe", "minmax")
    return edgenet("convert", made / "small.safetensors", *arguments, *options)


def test_measured_without_a_limit(edgenet: Edgenet, made: Path, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    found = convert(edgenet, made, out, "--data", labelled, "--json").json()
    evaluation = found["measured"]["evaluation"]
    real, given = evaluation["models"]
    assert [real["precision"], given["precision"]] == ["float32", "int8"]
    assert evaluation["n"] + found["measured"]["calibrating"] == 16
    assert given["verdict"].startswith("cannot tell: with ")
    assert {"n", "lost", "won", "drop", "interval", "p_value"} == set(given["against_first"])
    assert {"low", "high"} == set(given["top1_interval"])
    assert "measure" in found["seconds"]
    ran = convert(edgenet, made, out, "--data", labelled)
    assert f"  on {evaluation['n']} photos of {labelled}: float top-1 {real['top1']:.2f} %" in ran.out
    assert f"  int8: {given['verdict']}\n" in ran.out
    left = found["measured"]["calibrating"]
    assert (f"  {left} photo" in ran.out) == (left > 0)
    shown = f"top-1 on {evaluation['n']} photos of {labelled.name}: float {real['top1']:.2f} %, int8 "
    assert shown in edgenet("inspect", out).out
    assert shown in edgenet("package", out).out


def test_a_drop_within_the_limit_passes(edgenet: Edgenet, made: Path, labelled: Path, tmp_path: Path) -> None:
    assert convert(edgenet, made, tmp_path / "net.tflite", "--data", labelled, "--max-drop", 100).status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["net.tflite"]


def test_a_larger_drop_fails_and_keeps_both_files(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    """The labels are the float network's own answers, so that int8 can only lose."""
    (tmp_path / "made").mkdir()
    out, photos = (
        tmp_path / "made" / "net.tflite",
        label_by_float(made / "small.safetensors", tmp_path / "photos"),
    )
    out.write_bytes(b"the older file")
    ran = convert(edgenet, made, out, "--data", photos, "--max-drop", 0.5)
    ran.refusal("int8 loses", "float 100.00 %", "more than --max-drop 0.5", "net.rejected.tflite", "--recipe")
    assert out.read_bytes() == b"the older file"
    aside = tmp_path / "made" / "net.rejected.tflite"
    assert sorted(out.parent.iterdir()) == [aside, out]
    assert f"photos of {photos.name}: float 100.00 %, int8 " in edgenet("inspect", aside).out


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--calibration", PHOTOS, "--max-drop", 0.5), "--max-drop needs --data"),
        (("--calibration", PHOTOS, "--data", PHOTOS, "--max-drop", -1), "0 or more"),
        (("--calibration", PHOTOS, "--data", PHOTOS, "--max-drop", "nan"), "0 or more"),
        (("--float", "--data", PHOTOS), "--data is for int8 files"),
        (("--float", "--max-drop", 1), "--max-drop needs --data"),
    ],
)
def test_wrong_usage(
    edgenet: Edgenet, made: Path, tmp_path: Path, options: tuple[object, ...], part: str
) -> None:
    ran = edgenet("convert", made / "small.safetensors", "-o", tmp_path / "net.tflite", *options)
    assert ran.status == 2
    assert part in " ".join(ran.err.split())
    assert not list(tmp_path.iterdir())


def test_photos_without_labels(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    convert(edgenet, made, tmp_path / "net.tflite", "--data", PHOTOS).refusal("have no labels")
