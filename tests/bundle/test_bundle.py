"""Making a bundle and opening it again."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from bundle_parts import FACTS, LABELS
from edgenet_device.model_file import SCHEMA_VERSION as DEVICE_SCHEMA_VERSION
from edgenet_device.model_file import open_model
from edgenet_device.normalization import PixelNormalization
from tiny_model import tiny_model

from edgenet.bundle import open_bundle, write_bundle
from edgenet.data.labels import labels_text
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.manifest import (
    SCHEMA_VERSION,
    Accuracy,
    Facts,
    Quantization,
    UnknownAnswer,
    Weights,
    as_dict,
    decode,
    to_json,
)
from edgenet.tflite.metadata import ModelInfo, append_files, metadata_buffer


def test_round_trip(bundle: Path, model: bytes) -> None:
    opened = open_bundle(bundle)
    manifest = opened.manifest
    assert opened.model == model
    assert opened.labels == ("red", "green", "blue")
    assert (manifest.input.name, manifest.input.height, manifest.input.width) == ("image", 8, 8)
    assert (manifest.output.name, manifest.output.classes, manifest.classes) == ("probability", 3, 3)
    for name in ("name", "architecture", "width", "resolution", "quantization", "accuracy", "weights"):
        assert getattr(manifest, name) == getattr(FACTS, name)
    assert manifest.tools["numpy"] is not None
    assert manifest.members["model.tflite"].sha256 == sha256(model)
    assert manifest.members["CARD.md"].size == len(opened.card.encode())


def test_returns_the_manifest_that_it_wrote(tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "a.edgenet"
    assert write_bundle(path, model, LABELS, FACTS) == open_bundle(path).manifest


def test_same_inputs_same_bytes_in_another_process(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.edgenet"
    script = (
        "import sys; from edgenet.bundle import Facts, open_bundle, write_bundle\n"
        "b = open_bundle(sys.argv[1]); m = b.manifest\n"
        "kinds = m.architecture, m.width, m.resolution\n"
        "facts = Facts(m.name, m.weights, *kinds, m.quantization, m.accuracy)\n"
        "write_bundle(sys.argv[2], b.model, b.labels, facts)"
    )
    root = Path(__file__).resolve().parents[2]
    # Another hash seed: an order that came from a set would differ.
    command = [sys.executable, "-c", script, str(bundle), str(again)]
    subprocess.run(command, check=True, cwd=root, env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    assert again.read_bytes() == bundle.read_bytes()


def test_the_zip_is_stored_and_undated(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == ["manifest.json", "model.tflite", "labels.txt", "CARD.md"]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}


def test_the_device_opens_the_same_bundle(bundle: Path, model: bytes) -> None:
    on_device = open_model(bundle)
    assert on_device.data == model
    assert on_device.labels == tuple(LABELS)
    assert DEVICE_SCHEMA_VERSION == SCHEMA_VERSION


def test_a_float_model_of_unknown_origin(tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "a.edgenet"
    write_bundle(path, model, LABELS, Facts("someone's", Weights("someone.onnx", "unknown")))
    opened = open_bundle(path)
    assert opened.manifest.architecture is opened.manifest.quantization is opened.manifest.accuracy is None
    with zipfile.ZipFile(path) as archive:
        raw = json.loads(archive.read("manifest.json"))
    assert raw["quantization"] is None
    assert raw["weights"] == {"origin": "someone.onnx", "licence": "unknown", "sha256": None}
    for words in ("A float image classifier", "not recorded", "Not measured.", "float32", "Licence: unknown"):
        assert words in opened.card


def test_the_card_says_what_was_measured(bundle: Path) -> None:
    card = open_bundle(bundle).card
    for words in (
        "# mobilenet_v1_0.25_8\n",
        "An int8 image classifier for 3 classes, made by edgenet: mobilenet_v1, width multiplier 0.25",
        "uint8 [1, 8, 8, 3], RGB",
        "python3 device_scripts/classify.py mobilenet_v1_0.25_8.edgenet photo.jpg",
        "| float | 92.8 % |\n| int8 | 92.5 % |\n\nOver 1,000 photos: ImageNet sample.",
        "Recipe `default`: ranges, bias correction. Calibrated on 100 photos",
        "Origin: made for a test\n- Licence: Apache-2.0",
    ):
        assert words in card


def test_facts_about_unknown_things_travel_in_the_bundle(tmp_path: Path, model: bytes) -> None:
    unknown = UnknownAnswer("nothing I know", 95.5, 12.25, 0.9375, "40 photos of your own")
    facts = dataclasses.replace(FACTS, unknown=unknown)
    labels = [*LABELS[:-1], "nothing I know"]
    written = write_bundle(tmp_path / "u.edgenet", model, labels, facts)
    assert written.unknown == unknown
    opened = open_bundle(tmp_path / "u.edgenet")
    assert opened.manifest == written
    assert "classifier for 2 classes and unknown things" in opened.card
    section = opened.card.split("## Unknown things\n\n")[1].split("\n")[0]
    for part in (
        "95.5 % of the user's photos",
        "12.2 % of photos of other things",
        "0.938",
        "40 photos of your own",
    ):
        assert part in section
    bare = dataclasses.replace(facts, unknown=dataclasses.replace(unknown, auroc=None, false_alarms=None))
    write_bundle(tmp_path / "b.edgenet", model, labels, bare)
    assert "It was not judged on photos of other things." in open_bundle(tmp_path / "b.edgenet").card


def test_files_of_before_the_facts_about_unknown_things_are_read(bundle: Path) -> None:
    """Without these facts the manifest is what it always was, so that older versions of edgenet read it too."""
    with zipfile.ZipFile(bundle) as archive:
        assert "unknown" not in json.loads(archive.read("manifest.json"))
    assert open_bundle(bundle).manifest.unknown is None
    old = dataclasses.asdict(FACTS)
    del old["unknown"]
    assert as_dict(FACTS) == old
    assert decode(Facts, json.loads(json.dumps(old)), "edgenet.json") == FACTS
    with pytest.raises(EdgenetError, match="accuracy is missing"):
        decode(Facts, {name: value for name, value in old.items() if name != "accuracy"}, "edgenet.json")


def test_the_card_does_not_guess_an_accuracy(tmp_path: Path, model: bytes) -> None:
    facts = dataclasses.replace(FACTS, accuracy=Accuracy(None, 50.0, 10, "ten photos"))
    write_bundle(tmp_path / "a.edgenet", model, LABELS, facts)
    assert "| float | not measured |\n| int8 | 50.0 % |" in open_bundle(tmp_path / "a.edgenet").card


def test_the_three_lines_of_python_in_the_card_run(bundle: Path, tmp_path: Path, model: bytes) -> None:
    card = open_bundle(bundle).card
    lines = card.split("```python\n")[1].split("```")[0]
    (tmp_path / "model.tflite").write_bytes(model)
    (tmp_path / "labels.txt").write_bytes(labels_text(LABELS))
    photo = "photo = numpy.zeros((1, 8, 8, 3), 'uint8'); photo[..., 1] = 255\n"
    script = "import numpy, ai_edge_litert.interpreter\n" + photo + lines
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("green 0.99"), done.stderr


@pytest.mark.parametrize("count", [0, 2, 4])
def test_labels_must_be_as_many_as_outputs(tmp_path: Path, model: bytes, count: int) -> None:
    path = tmp_path / "a.edgenet"
    path.write_bytes(b"old")
    with pytest.raises(EdgenetError, match=f"there are {count} labels and the model has 3 outputs"):
        write_bundle(path, model, ["a", "b", "c", "d"][:count], FACTS)
    assert path.read_bytes() == b"old"


def test_labels_must_agree_with_those_inside_the_model(tmp_path: Path) -> None:
    plain = tiny_model(metadata=metadata_buffer(ModelInfo("tiny")))
    model = append_files(plain, {"labels.txt": labels_text(["red", "lime", "blue"])})
    with pytest.raises(EdgenetError, match="label 1 is 'green' but the model itself carries 'lime'"):
        write_bundle(tmp_path / "a.edgenet", model, LABELS, FACTS)
    write_bundle(tmp_path / "a.edgenet", model, ["red", "lime", "blue"], FACTS)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"", "not a .tflite file"),
        (b"\x1c\0\0\0TFL3", "damaged"),
        (tiny_model()[:600], "damaged"),
        (
            tiny_model(input_type=schema.TensorType.FLOAT32),
            r"takes float32 and does not say what its pixels went through in training; give --normalization",
        ),
        (
            tiny_model(input_type=schema.TensorType.INT16),
            r"takes int16 \[1, 8, 8, 3\], which is not a picture",
        ),
    ],
    ids=["empty", "only a header", "cut off", "float input", "int16 input"],
)
def test_refuses_models_that_clients_would_refuse(tmp_path: Path, model: bytes, message: str) -> None:
    with pytest.raises(EdgenetError, match=message):
        write_bundle(tmp_path / "a.edgenet", model, LABELS, FACTS)
    assert list(tmp_path.iterdir()) == []


def test_another_makers_normalization_is_recorded(tmp_path: Path) -> None:
    model = tiny_model(input_type=schema.TensorType.FLOAT32, signature="other")
    given = PixelNormalization((127.5,), (127.5,))
    manifest = write_bundle(tmp_path / "a.edgenet", model, LABELS, FACTS, given)
    assert (manifest.input.dtype, manifest.input.mean, manifest.input.std) == ("float32", (127.5,), (127.5,))
    opened = open_bundle(tmp_path / "a.edgenet")
    assert opened.manifest == manifest
    assert "(pixel - mean) / std with mean 127.5 and std 127.5" in opened.card
    assert open_model(tmp_path / "a.edgenet").recorded_normalization() == given


def test_the_manifest_of_pixels_as_they_are_has_no_field_that_older_versions_do_not_know(
    tmp_path: Path,
) -> None:
    manifest = write_bundle(tmp_path / "a.edgenet", tiny_model(), LABELS, FACTS)
    assert set(json.loads(to_json(manifest))["input"]) == {
        "name",
        "height",
        "width",
        "colour_order",
        "dtype",
        "resize_rule",
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: Quantization("default", (), "not a checksum", 100),
        lambda: Quantization("default", (), "ab" * 32, 0),
        lambda: Accuracy(0.9, 101.0, 10, "photos"),
        lambda: Accuracy(90.0, None, 0, "photos"),
        lambda: UnknownAnswer("nothing I know", 100.5, None, None, "photos"),
        lambda: UnknownAnswer("nothing I know", 95.0, -1.0, 0.9, "photos"),
        lambda: UnknownAnswer("nothing I know", 95.0, 1.0, 90.0, "photos"),
        lambda: Weights("here", "MIT", "AB" * 32),
        lambda: Facts(" ", Weights("here", "MIT")),
        lambda: Facts("two\nlines", Weights("here", "MIT")),
    ],
)
def test_refuses_facts_that_cannot_be(make: Callable[[], object]) -> None:
    with pytest.raises(EdgenetError, match="the bundle's facts are wrong"):
        make()
