"""TFLite metadata: our reader, LiteRT, and MediaPipe Tasks if its environment is installed."""

from __future__ import annotations

import io
import json
import random
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tiny_model import tiny_model

from benchmarks.environments import importable_project
from edgenet.data.labels import labels_text
from edgenet.errors import EdgenetError
from edgenet.tflite import metadata_tables
from edgenet.tflite.metadata import (
    FACTS_FILE,
    ImageTensor,
    ModelInfo,
    append_files,
    metadata_buffer,
    read_facts,
    read_files,
    read_labels,
    read_metadata,
)
from edgenet.tflite.metadata_tables import decode_root, encode_root

ROOT = Path(__file__).resolve().parents[2]
MEDIAPIPE = ROOT / ".envs" / "mediapipe" / "bin" / "python"
LABELS = ["red", "green", "blue"]
LABELS_FILES = {"labels.txt": labels_text(LABELS)}


def with_labels(metadata: bytes | None = None) -> bytes:
    buffer = metadata_buffer(ModelInfo("tiny")) if metadata is None else metadata
    return append_files(tiny_model(metadata=buffer), LABELS_FILES)


def test_everything_comes_back() -> None:
    info = ModelInfo("tiny", "names colours", "v1", "someone", "Apache-2.0")
    model = tiny_model(metadata=metadata_buffer(info, ImageTensor("photo", 0.5, 2.0), "score", "names.txt"))
    metadata = read_metadata(model)
    assert metadata is not None
    (subgraph,) = metadata.pop("subgraph_metadata")
    assert metadata == {
        "name": "tiny",
        "description": "names colours",
        "version": "v1",
        "author": "someone",
        "license": "Apache-2.0",
        "min_parser_version": "1.0.0",
    }
    (image,), (output,) = subgraph["input_tensor_metadata"], subgraph["output_tensor_metadata"]
    assert image["name"] == "photo"
    assert image["content"] == {"content_properties": ("ImageProperties", {"color_space": 1})}
    assert image["process_units"] == [{"options": ("NormalizationOptions", {"mean": [0.5], "std": [2.0]})}]
    assert image["stats"] == {"max": [255.0], "min": [0.0]}
    assert output["name"] == "score"
    assert output["stats"] == {"max": [1.0], "min": [0.0]}
    assert [(file["name"], file["type"]) for file in output["associated_files"]] == [("names.txt", 2)]


def test_empty_fields_are_left_out() -> None:
    metadata = read_metadata(tiny_model(metadata=metadata_buffer(ModelInfo("tiny"), labels_file=None)))
    assert metadata is not None
    assert set(metadata) == {"name", "subgraph_metadata", "min_parser_version"}
    assert "associated_files" not in metadata["subgraph_metadata"][0]["output_tensor_metadata"][0]


def test_the_same_bytes_every_time() -> None:
    assert metadata_buffer(ModelInfo("tiny")) == metadata_buffer(ModelInfo("tiny"))
    assert with_labels() == with_labels()


def test_labels_come_back_and_the_model_still_runs() -> None:
    model = with_labels()
    assert read_labels(model) == LABELS
    assert read_files(model) == LABELS_FILES
    run = Interpreter(model_content=model).get_signature_runner()
    photo = np.zeros((1, 8, 8, 3), np.uint8)
    photo[..., 1] = 255
    assert LABELS[run(image=photo)["probability"].argmax()] == "green"


def test_the_flatbuffer_in_front_is_untouched_and_nothing_is_compressed() -> None:
    plain = tiny_model(metadata=metadata_buffer(ModelInfo("tiny")))
    model = append_files(plain, {"labels.txt": b"same\n" * 1000})
    assert model.startswith(plain)
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        assert [entry.compress_type for entry in archive.infolist()] == [zipfile.ZIP_STORED]


def test_no_metadata_and_no_labels_are_none() -> None:
    assert read_metadata(tiny_model()) is None
    assert read_labels(tiny_model()) is None
    assert read_labels(tiny_model(metadata=metadata_buffer(ModelInfo("tiny"), labels_file=None))) is None
    assert read_files(tiny_model()) == {}


def test_labels_that_are_named_but_missing() -> None:
    model = tiny_model(metadata=metadata_buffer(ModelInfo("tiny")))
    with pytest.raises(EdgenetError, match=r"metadata names labels\.txt but the file does not carry it"):
        read_labels(model)


def test_appending_twice_is_refused() -> None:
    with pytest.raises(EdgenetError, match=r"carries files already: labels\.txt"):
        append_files(with_labels(), LABELS_FILES)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b"", "identifier ''"),
        (b"\x08\0\0\0M002", "identifier 'M002', expected 'M001'"),
        (b"\xff\0\0\0M001", "the model's metadata is damaged"),
        (metadata_buffer(ModelInfo("tiny"))[:100], "the model's metadata is damaged"),
    ],
)
def test_damaged_metadata(metadata: bytes, message: str) -> None:
    with pytest.raises(EdgenetError, match=message):
        read_metadata(tiny_model(metadata=metadata))


def test_files_that_are_not_models() -> None:
    with pytest.raises(EdgenetError, match=r"not a \.tflite model"):
        read_metadata(b"PK\x03\x04 something")


def test_a_union_member_of_a_newer_schema_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = ("Stats", {"max": [1.0], "min": [0.0]})
    root = {
        "subgraph_metadata": [
            {"input_tensor_metadata": [{"name": "a", "process_units": [{"options": unit}]}]}
        ]
    }
    with monkeypatch.context() as newer:
        newer.setitem(metadata_tables.TABLES, "ProcessUnit", {"options": ("NormalizationOptions", "Stats")})
        buffer = encode_root("ModelMetadata", root, b"M001")
    tensor = decode_root("ModelMetadata", buffer)["subgraph_metadata"][0]["input_tensor_metadata"][0]
    assert tensor == {"name": "a", "process_units": [{}]}


def test_the_encoder_knows_its_fields() -> None:
    with pytest.raises(KeyError, match="Stats has no field"):
        encode_root("Stats", {"maximum": [1.0]}, b"M001")


def test_random_damage_is_an_error_or_harmless() -> None:
    rng = random.Random(3)
    whole = with_labels()
    errors = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            read_metadata(bytes(data))
            read_labels(bytes(data))
        except EdgenetError:
            errors += 1
    assert 0 < errors < 300


def mediapipe(tmp_path: Path, model: bytes, **images: np.ndarray) -> subprocess.CompletedProcess[str]:
    if not MEDIAPIPE.exists():
        pytest.skip("no environment with MediaPipe; `python benchmarks/clients.py MODEL.tflite` makes it")
    (tmp_path / "model.tflite").write_bytes(model)
    np.savez(tmp_path / "photos.npz", **images)
    script = ROOT / "benchmarks" / "client_programs" / "mediapipe_client.py"
    command = [str(MEDIAPIPE), str(script), str(tmp_path / "model.tflite"), str(tmp_path / "photos.npz")]
    return subprocess.run(command, capture_output=True, text=True, env=importable_project())


@pytest.mark.slow
def test_mediapipe_reads_labels_and_scores(tmp_path: Path) -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    images[0, ..., 2] = images[1, ..., 0] = images[2, ..., 1] = 255
    done = mediapipe(tmp_path, with_labels(), images=images)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["labels"] == LABELS
    assert [result["labels"][photo["top1"]] for photo in result["photos"]] == ["blue", "red", "green"]
    run = Interpreter(model_content=with_labels()).get_signature_runner()
    for image, photo in zip(images, result["photos"], strict=True):
        np.testing.assert_allclose(photo["scores"], run(image=image[None])["probability"][0], atol=1e-6)


def with_packed(name: str, content: bytes) -> bytes:
    """Append a deflated file to the model, as another program does."""
    stream = io.BytesIO(tiny_model())
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def test_a_small_file_that_unpacks_to_a_large_one_is_refused() -> None:
    model = with_packed("labels.txt", b"\0" * (1 << 25) + b"\0")
    assert len(model) < 1 << 17
    with pytest.raises(EdgenetError, match="unpack to 33554433 bytes, edgenet reads up to 33554432"):
        read_files(model)


def test_facts_of_brackets_without_end() -> None:
    with pytest.raises(EdgenetError, match=r"edgenet\.json in net\.tflite is damaged"):
        read_facts(with_packed(FACTS_FILE, b"[" * 100_000), "net.tflite")


@pytest.mark.parametrize("fault", ["identifier", "deflated", "missing file"])
def test_mediapipe_refuses_wrong_metadata(tmp_path: Path, fault: str) -> None:
    """This shows that the test above can fail: MediaPipe checks each of these."""
    good = metadata_buffer(ModelInfo("tiny"))
    stream = io.BytesIO(tiny_model(metadata=good))
    if fault == "deflated":
        with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("labels.txt", "red\ngreen\nblue\n")
        model = stream.getvalue()
    elif fault == "missing file":
        model = append_files(tiny_model(metadata=good), {"names.txt": b"red\ngreen\nblue\n"})
    else:
        model = with_labels(good.replace(b"M001", b"M999"))
    done = mediapipe(tmp_path, model, images=np.zeros((1, 8, 8, 3), np.uint8))
    assert done.returncode != 0
    assert "labels" not in done.stdout
