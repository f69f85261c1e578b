"""`edgenet.package`: labels, facts and accuracy reach the bundle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_network import LABELS, PHOTOS
from tiny_model import tiny_model
from verbs_photos import solid

import edgenet
from edgenet.bundle import open_bundle
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.manifest import Accuracy
from edgenet.tflite.metadata import read_facts

OLD = b"an older bundle"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "net.edgenet"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A model of another tool, which carries neither labels nor facts."""
    path = tmp_path / "colours.tflite"
    path.write_bytes(tiny_model())
    return path


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("red\ngreen\nblue\n")
    return path


def test_labels_and_facts_of_the_model(made: Path, out: Path) -> None:
    packed = edgenet.package(made / "int8.tflite", out)
    model = (made / "int8.tflite").read_bytes()
    bundle = open_bundle(out)
    assert bundle.model == model
    assert bundle.labels == LABELS
    assert bundle.manifest == packed.manifest
    assert (packed.out, packed.skipped) == (str(out), ())
    facts = read_facts(model, "x")
    assert facts is not None
    assert bundle.manifest.quantization == facts.quantization
    assert bundle.manifest.weights == facts.weights
    assert (bundle.manifest.architecture, bundle.manifest.width) == ("mobilenet_v1", 0.25)
    assert bundle.manifest.accuracy is None
    assert "Not measured" in bundle.card


def test_labels_of_a_file_for_a_model_of_another_tool(colours: Path, names: Path, out: Path) -> None:
    edgenet.package(colours, out, labels=names)
    bundle = open_bundle(out)
    assert bundle.labels == ("red", "green", "blue")
    assert bundle.manifest.name == "colours"
    assert bundle.manifest.weights.sha256 == sha256(colours)


def test_accuracy_under_the_labels_given(colours: Path, names: Path, out: Path, colour_folders: Path) -> None:
    """The model carries no labels itself; the folders are matched by those given. One photo is broken."""
    (colour_folders / "red" / "broken.png").write_bytes(b"no photo")
    packed = edgenet.package(colours, out, labels=names, data=colour_folders)
    assert packed.manifest.accuracy == Accuracy(100.0, None, 8, "colours")
    assert [name for name, _ in packed.skipped] == ["red/broken.png"]
    names.write_text("green\nred\nblue\n")
    assert edgenet.package(colours, out, labels=names, data=colour_folders).manifest.accuracy == Accuracy(
        12.5, None, 8, "colours"
    )
    assert "12.5 %" in open_bundle(out).card


def test_accuracy_of_int8_beside_float(made: Path, out: Path, tmp_path: Path) -> None:
    for label, photo in zip(LABELS, sorted(PHOTOS.glob("*.jpg")), strict=False):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / "photo.jpg").write_bytes(photo.read_bytes())
    data = tmp_path / "photos"
    accuracy = edgenet.package(
        made / "int8.tflite", out, data=data, float_source=str(made / "small.safetensors")
    ).manifest.accuracy
    expected = edgenet.evaluate([str(made / "small.safetensors"), str(made / "int8.tflite")], data).models
    assert accuracy == Accuracy(expected[0].top1, expected[1].top1, 5, "photos")


def test_the_same_bundle_from_the_same_input(made: Path, tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        edgenet.package(made / "int8.tflite", tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert str(tmp_path).encode() not in written[0]


def refuse(out: Path, match: str, call: Callable[[], object]) -> None:
    with pytest.raises(EdgenetError, match=match) as caught:
        call()
    assert caught.value.remedy
    assert out.read_bytes() == OLD


def test_no_labels(colours: Path, out: Path) -> None:
    refuse(out, "has no labels; give them with --labels", lambda: edgenet.package(colours, out))


def test_labels_that_cannot_be_read(colours: Path, out: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.txt"
    refuse(
        out,
        "cannot read the labels .*none.txt: No such file",
        lambda: edgenet.package(colours, out, labels=missing),
    )
    refuse(
        out,
        "cannot read the labels .*: Is a directory",
        lambda: edgenet.package(colours, out, labels=tmp_path),
    )


def test_labels_of_another_number(colours: Path, names: Path, out: Path, colour_folders: Path) -> None:
    """The fault is reported before anything is measured."""
    names.write_text("red\ngreen\n")
    message = r"names.txt has 2 labels for 3 outputs"
    refuse(out, message, lambda: edgenet.package(colours, out, labels=names))
    refuse(out, message, lambda: edgenet.package(colours, out, labels=names, data=colour_folders))


def test_labels_that_contradict_the_model(made: Path, names: Path, out: Path) -> None:
    names.write_text("\n".join(reversed(LABELS)))
    refuse(out, "label 0 is 'tulip'", lambda: edgenet.package(made / "int8.tflite", out, labels=names))


def test_a_float_source_needs_photos_and_an_int8_model(
    made: Path, out: Path, tmp_path: Path, colours: Path, names: Path, colour_folders: Path
) -> None:
    source = str(made / "small.safetensors")
    refuse(
        out,
        "no photos to measure the float source on",
        lambda: edgenet.package(made / "int8.tflite", out, float_source=source),
    )
    refuse(
        out,
        "is already a float model",
        lambda: edgenet.package(colours, out, labels=names, data=colour_folders, float_source=source),
    )


def test_missing_model_and_bundle_as_model(made: Path, out: Path, tmp_path: Path, names: Path) -> None:
    refuse(out, "none.tflite: No such file", lambda: edgenet.package(tmp_path / "none.tflite", out))
    bundle = tmp_path / "other.edgenet"
    edgenet.package(made / "int8.tflite", bundle)
    refuse(
        out, "is a finished bundle; give its .tflite file", lambda: edgenet.package(bundle, out, labels=names)
    )


def test_a_photo_of_no_class(colours: Path, names: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(solid("red"))
    refuse(
        out, "have no labels", lambda: edgenet.package(colours, out, labels=names, data=tmp_path / "photos")
    )


def test_the_manifest_is_strict_json(made: Path, out: Path) -> None:
    edgenet.package(made / "int8.tflite", out)
    with zipfile.ZipFile(out) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["classes"] == 5
