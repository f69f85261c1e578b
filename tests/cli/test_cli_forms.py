"""`edgenet convert` in other forms, and other makers' files on the command line."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from command_line import Edgenet
from small_classifiers import Layout, classifier_file


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A float .tflite of another maker, without labels, metadata or a word about its pixels."""
    path = tmp_path / "foreign.tflite"
    path.write_bytes(classifier_file(Layout((1, 16, 16, 3))))
    return path


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--precision", "int8"), "--precision int8 needs --calibration PHOTOS"),
        (("--precision", "float16", "--calibration", "photos"), "the others need none"),
        (("--precision", "float16", "--float"), "give either --float or --precision"),
        (
            ("--precision", "dynamic", "--recipe", "fast"),
            "--recipe is for int8 files; leave it out with --precision",
        ),
        (("--float", "--format", "onnx"), "--format onnx needs a name for --out that ends in .onnx"),
        (("--float", "--io", "int16"), "'int16' is not one of"),
    ],
)
def test_wishes_that_contradict_each_other(
    edgenet: Edgenet, foreign: Path, options: tuple[str, ...], found: str
) -> None:
    ran = edgenet("convert", foreign, "--out", foreign.with_name("out.tflite"), *options)
    assert ran.status == 2
    assert found in " ".join(ran.err.split())


def test_convert_writes_other_forms(edgenet: Edgenet, foreign: Path) -> None:
    normalized = ("--normalization=-1..1",)
    small = foreign.with_name("small.tflite")
    ran = edgenet("convert", foreign, "--out", small, "--precision", "float16", "--io", "int8", *normalized)
    assert ran.status == 0, ran.err
    assert "float16" in ran.out
    assert "int8 [1, 16, 16, 3]" in edgenet("inspect", small).out
    other = foreign.with_name("other.onnx")
    assert edgenet("convert", foreign, "--out", other, "--float", "--format", "onnx", *normalized).status == 0
    assert onnx.load(other).graph.input[0].name == "image"


def test_package_records_what_the_file_does_not_say(edgenet: Edgenet, foreign: Path) -> None:
    ran = edgenet("package", foreign, "--labels", foreign.with_name("none.txt"))
    assert ran.status == 1
    foreign.with_name("names.txt").write_text("0 red\n1 green\n2 blue\n")
    named = ("--labels", foreign.with_name("names.txt"))
    ran = edgenet("package", foreign, *named)
    assert ran.status == 1
    assert "takes float32 and does not say what its pixels went through in training" in ran.err
    assert edgenet("package", foreign, *named, "--normalization=-1..1").status == 0
    bundle = foreign.with_suffix(".edgenet")
    assert "3 labels" in edgenet("inspect", bundle).out
