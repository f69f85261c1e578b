"""Opening models, choosing the runtime, the classifier, and ranking its scores."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from edgenet_device import runtime as runtime_room
from edgenet_device.classifier import Classifier, top_k
from edgenet_device.model_file import open_model, parse_labels
from edgenet_device.preprocess import prepare
from edgenet_device.runtime import Delegate, find_delegate, load_runtime
from model_files import SIZE, build_bundle, with_labels
from tiny_model import tiny_model

from edgenet.errors import EdgenetError


def write(tmp_path: Path, data: bytes, name: str = "m.tflite") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_classifier_names_the_colour(tiny_tflite: Path) -> None:
    classifier = Classifier(tiny_tflite, threads=2)
    assert classifier.size == SIZE
    assert classifier.labels == ("red", "green", "blue")
    for channel, label in [(2, "red"), (1, "green"), (0, "blue")]:
        bgr = np.zeros((50, 70, 3), np.uint8)
        bgr[..., channel] = 255
        scores = classifier.score_prepared(prepare(bgr, SIZE)[0])
        assert scores.dtype == np.float32
        assert classifier.labels[top_k(scores, 1)[0][0]] == label
        assert scores.sum() == pytest.approx(1, abs=1e-5)


def test_bundle_and_bare_file_open_alike(tiny_tflite: Path, tiny_bundle: Path) -> None:
    bare, bundle = open_model(tiny_tflite), open_model(tiny_bundle)
    assert bare.data == bundle.data
    assert bare.labels == bundle.labels
    assert bare.sha256 == bundle.sha256 == hashlib.sha256(bare.data).hexdigest()
    assert bare.manifest is None
    assert bundle.manifest is not None


def test_the_delegate_is_named_only_where_it_ran(tiny_tflite: Path) -> None:
    classifier = Classifier(tiny_tflite, threads=1)
    assert classifier.delegate == Delegate("XNNPACK", 4, 4, 1)
    plain = Interpreter(
        model_path=str(tiny_tflite),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    plain.allocate_tensors()
    assert find_delegate(plain) == Delegate(None, 0, 4, 0)


def test_partly_delegated_nodes_are_counted_one_by_one() -> None:
    """conv -> odd -> conv, the odd one left out: two partitions; what lies before them is not theirs."""
    nodes = [
        {"op_name": "CONV_2D", "inputs": [0, 10], "outputs": [1]},
        {"op_name": "CONV_2D", "inputs": [1, 11], "outputs": [2]},
        {"op_name": "ODD", "inputs": [2], "outputs": [3]},
        {"op_name": "CONV_2D", "inputs": [3, 12], "outputs": [4]},
        {"op_name": "DELEGATE", "inputs": [0, 10, 11], "outputs": [2]},
        {"op_name": "DELEGATE", "inputs": [3, 12], "outputs": [4]},
    ]

    class Told:
        def _get_ops_details(self) -> list[dict[str, Any]]:
            return nodes

    assert find_delegate(Told()) == Delegate("XNNPACK", 3, 4, 2)
    assert find_delegate(object()) == Delegate(None, None, None, None)


@pytest.mark.parametrize("kept", [0.02, 0.2, 0.5, 0.8, 0.97])
def test_a_cut_model_is_an_error_and_no_crash(tmp_path: Path, kept: float) -> None:
    data = tiny_model(size=SIZE)
    path = write(tmp_path, data[: int(len(data) * kept)])
    with pytest.raises(EdgenetError, match=r"m\.tflite"):
        Classifier(path, threads=1)


def test_damaged_tables_are_found_before_the_runtime_sees_them(tmp_path: Path) -> None:
    """Every four bytes of the flatbuffer set to a huge number in turn: an error or a model, never a crash."""
    data, refused = tiny_model(size=SIZE), 0
    for at in range(8, len(data) - 4, 4):
        path = write(tmp_path, data[:at] + b"\xf0\xff\xff\x7f" + data[at + 4 :])
        try:
            open_model(path)
        except EdgenetError:
            refused += 1
    assert refused > len(data) / 4 / 10


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "is empty"),
        (b"no model at all", "neither a .tflite nor a bundle"),
        (b"xxxxTFL3" + b"\xff" * 200, "damaged or cut short"),
        (b"PK\x03\x04" + bytes(100), "is the beginning of a zip whose end is missing"),
        (with_labels(tiny_model(size=SIZE), ("one", "two")), "2 labels for 3 outputs"),
        (tiny_model(size=SIZE, input_type=schema.TensorType.INT16), r"takes int16 .* which is not a picture"),
    ],
)
def test_wrong_models(tmp_path: Path, data: bytes, found: str) -> None:
    with pytest.raises(EdgenetError, match=found):
        Classifier(write(tmp_path, data), threads=1)


def test_a_model_without_labels_gets_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, tiny_model(size=SIZE))
    assert Classifier(path, threads=1).labels == ("class 0", "class 1", "class 2")


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="does not exist"):
        open_model(tmp_path / "nope.tflite")
    with pytest.raises(EdgenetError, match="is a folder"):
        open_model(tmp_path)


def test_a_changed_byte_in_a_bundle_is_found(tmp_path: Path, tiny_bundle: Path) -> None:
    data = bytearray(tiny_bundle.read_bytes())
    data[data.index(b"TFL3") + 60] ^= 1
    with pytest.raises(EdgenetError, match=r"damaged|SHA-256"):
        open_model(write(tmp_path, bytes(data), "x.edgenet"))


def test_members_are_held_against_the_manifest(tmp_path: Path) -> None:
    model = with_labels(tiny_model(size=SIZE))
    right = {"sha256": hashlib.sha256(model).hexdigest(), "size": len(model)}
    for stated, found in [
        ({**right, "sha256": "0" * 64}, "another SHA-256"),
        ({**right, "size": 5}, "its manifest states 5"),
        ({"size": len(model)}, "states no SHA-256"),
    ]:
        members = {"model.tflite": stated, "labels.txt": {"sha256": "", "size": 0}}
        with pytest.raises(EdgenetError, match=found):
            open_model(write(tmp_path, build_bundle(model, members=members), "x.edgenet"))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"schema_version": "one"}, "lacks schema_version"),
        ({"members": []}, "lacks schema_version or members"),
    ],
)
def test_odd_manifests(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    bundle = build_bundle(with_labels(tiny_model(size=SIZE)), **changes)
    with pytest.raises(EdgenetError, match=found):
        open_model(write(tmp_path, bundle, "x.edgenet"))


def test_texts_that_unpack_to_more_than_memory_holds(tmp_path: Path) -> None:
    for name, before in (("labels.txt", tiny_model(size=SIZE)), ("manifest.json", b"")):
        packed = io.BytesIO(before)
        packed.seek(0, io.SEEK_END)
        with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, bytes(1 << 26))
        with pytest.raises(EdgenetError, match=f"{name} in .* unpacks to 67108864 bytes"):
            open_model(write(tmp_path, packed.getvalue()))


def test_a_manifest_of_brackets_without_end(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("manifest.json", "[" * 100_000)
    with pytest.raises(EdgenetError, match="is not JSON"):
        open_model(write(tmp_path, packed.getvalue()))


def test_a_bundle_with_a_member_missing(tmp_path: Path, tiny_bundle: Path) -> None:
    for missing, found in [
        ("manifest.json", "without manifest.json"),
        ("labels.txt", "labels.txt is missing"),
    ]:
        packed = io.BytesIO()
        with zipfile.ZipFile(tiny_bundle) as whole, zipfile.ZipFile(packed, "w") as part:
            for name in whole.namelist():
                if name != missing:
                    part.writestr(name, whole.read(name))
        with pytest.raises(EdgenetError, match=found):
            open_model(write(tmp_path, packed.getvalue(), "x.edgenet"))


def test_labels() -> None:
    assert parse_labels(b"crane\ncrane\n", "x") == ("crane", "crane")
    assert parse_labels("Äpfel\r\nBirnen\r\n".encode("utf-8-sig"), "x") == ("Äpfel", "Birnen")
    assert parse_labels(b"", "x") == ()
    with pytest.raises(EdgenetError, match="UTF-8"):
        parse_labels(b"\xff\xfe", "x")


def test_no_runtime_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_room.util, "find_spec", lambda name: None)
    with pytest.raises(EdgenetError, match="no LiteRT runtime is installed; pip install ai-edge-litert"):
        load_runtime()


def test_tflite_runtime_with_numpy_2_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(runtime_room, "_CANDIDATES", (("tflite-runtime", "tflite_runtime"),))
    monkeypatch.setattr(np, "__version__", "2.4.0")
    with pytest.raises(EdgenetError, match=r"tflite-runtime needs numpy below 2, found 2\.4\.0"):
        load_runtime()
    assert "tflite_runtime" not in sys.modules


def test_top_k_orders_ties_by_class_index() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.05, 0.4, 0.1], np.float32)
    assert [index for index, _ in top_k(scores, 5)] == [1, 2, 4, 0, 5]
    assert [index for index, _ in top_k(scores, 2)] == [1, 2]
    assert [index for index, _ in top_k(scores, 99)] == [1, 2, 4, 0, 5, 3]
    assert top_k(scores, 0) == []
    assert [index for index, _ in top_k(np.array([np.nan, 0.2, 0.3]), 3)] == [2, 1, 0]
    many = np.random.default_rng(0).integers(0, 20, 1000).astype(np.float32)
    assert [i for i, _ in top_k(many, 100)] == sorted(range(1000), key=lambda i: (-many[i], i))[:100]
