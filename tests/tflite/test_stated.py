"""What a float .tflite states about itself, and how much of it a converted file keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from other_tools import SIZE, Network, changed
from small_graphs import lite, photos
from small_network import PHOTOS

from edgenet.errors import EdgenetError
from edgenet.files import stored_zip
from edgenet.manifest import Weights
from edgenet.tflite import metadata_tables
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.metadata import METADATA_NAME, read_facts, read_labels, read_metadata
from edgenet.tflite.metadata_tables import encode_root
from edgenet.workflows.convert import convert
from edgenet.workflows.sources import SourceOptions, open_source

NAMES = ["ant", "bee", "cow", "dog", "eel"]
TEXT = "".join(f"{name}\n" for name in NAMES).encode()
AXIS_LABELS, VALUE_LABELS, CALIBRATION = 2, 3, 5


def file_with(root: dict[str, Any], files: dict[str, bytes]) -> bytes:
    """Return a float classifier that edgenet did not write, with this metadata."""
    net = Network()
    data = net.file(net.dense(net.mean(net.conv(net.input))))

    def add(model: schema.ModelT) -> None:
        entry, buffer = schema.MetadataT(), schema.BufferT()
        buffer.data = np.frombuffer(encode_root("ModelMetadata", root, b"M001"), np.uint8)
        model.buffers.append(buffer)
        entry.name, entry.buffer = METADATA_NAME, len(model.buffers) - 1
        model.metadata = [entry]

    return stored_zip(files, behind=changed(data, add))


def described(
    *labels: dict[str, Any], mean: list[float] | None = None, steps: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the metadata of a classifier with these associated files."""
    units = [
        {"options": ("NormalizationOptions", {"mean": mean or [127.5], "std": [127.5] * len(mean or [0])})}
    ]
    return {
        "name": "Animals",
        "description": "names animals",
        "author": "somebody",
        "license": "CC-BY-4.0",
        "subgraph_metadata": [
            {
                "input_tensor_metadata": [{"name": "image", "process_units": units}],
                "output_tensor_metadata": [
                    {"name": "scores", "associated_files": list(labels), "process_units": steps}
                ],
            }
        ],
    }


def save(folder: Path, root: dict[str, Any], files: dict[str, bytes]) -> str:
    path = folder / "animals_v1.tflite"
    path.write_bytes(file_with(root, files))
    return str(path)


LABELS = {"name": "animals.txt", "type": AXIS_LABELS}


def test_labels_normalization_and_origin_reach_the_int8_file(tmp_path: Path) -> None:
    source = save(tmp_path, described(LABELS), {"animals.txt": TEXT})
    out = tmp_path / "int8.tflite"
    made = convert(source, out, calibration=PHOTOS, photos=8, recipe="fast")
    data = out.read_bytes()
    assert not [warning for warning in made.warnings if "not kept" in warning]
    assert read_labels(data) == NAMES
    facts = read_facts(data, "it")
    assert facts is not None
    assert facts.name == "animals_v1"
    assert (facts.weights.origin, facts.weights.licence) == (
        "animals_v1.tflite 'Animals' by somebody",
        "CC-BY-4.0",
    )
    assert (read_metadata(data) or {})["license"] == "CC-BY-4.0"
    images = photos(4, (SIZE, SIZE))
    logits = lite(Path(source).read_bytes(), images / np.float32(127.5) - 1)
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(lite(data, images), scores, atol=0.03)


def test_a_mean_for_each_colour(tmp_path: Path) -> None:
    source = save(tmp_path, described(LABELS, mean=[120.0, 110.0, 100.0]), {"animals.txt": TEXT})
    assert open_source(source, SourceOptions()).graph.require_pixels().zero_point == 110


def test_of_several_label_files_the_one_without_a_locale_is_kept(tmp_path: Path) -> None:
    german = {"name": "tiere.txt", "type": AXIS_LABELS, "locale": "de"}
    values = {"name": "values.txt", "type": VALUE_LABELS}
    files = {"tiere.txt": b"Ameise\nBiene\nKuh\nHund\nAal\n", "animals.txt": TEXT, "values.txt": b"1\n"}
    opened = open_source(save(tmp_path, described(german, values, LABELS), files), SourceOptions())
    assert opened.labels == tuple(NAMES)
    assert len(opened.warnings) == 1
    assert "also holds the file tiere.txt, the file values.txt, which is not kept" in opened.warnings[0]


def test_labels_that_only_lie_in_the_archive(tmp_path: Path) -> None:
    opened = open_source(save(tmp_path, described(), {"labels.txt": TEXT}), SourceOptions())
    assert opened.labels == tuple(NAMES)


def test_score_calibration_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata is written as a newer schema would: edgenet does not know this step."""
    with monkeypatch.context() as newer:
        newer.setitem(metadata_tables.TABLES, "ProcessUnit", {"options": ("NormalizationOptions", "Stats")})
        root = described(
            LABELS,
            {"name": "scores.csv", "type": CALIBRATION},
            steps=[{"options": ("Stats", {"max": [1.0]})}],
        )
        source = save(tmp_path, root, {"animals.txt": TEXT, "scores.csv": b"1,2,3,4\n"})
    (warning,) = open_source(source, SourceOptions()).warnings
    assert "steps after the scores (calibration or a threshold), the file scores.csv" in warning


def test_labels_of_another_number_are_refused_unless_others_are_given(tmp_path: Path) -> None:
    source = save(tmp_path, described(LABELS), {"animals.txt": b"ant\nbee\n"})
    with pytest.raises(
        EdgenetError, match=r"names 2 classes and has 5 outputs; give the right names with --labels"
    ):
        open_source(source, SourceOptions())
    (tmp_path / "right.txt").write_bytes(TEXT)
    assert open_source(source, SourceOptions(labels=tmp_path / "right.txt")).labels == tuple(NAMES)


def test_names_of_other_people_stay_on_one_line(tmp_path: Path) -> None:
    root = described({"name": "a\nb\x1b[31m.txt", "type": AXIS_LABELS})
    root["name"] = "two\nlines " + "x" * 1000
    source = save(tmp_path, root, {})
    with pytest.raises(EdgenetError, match=r"metadata names a b \[31m\.txt but the file does not carry it"):
        open_source(source, SourceOptions())
    labels = tmp_path / "right.txt"
    labels.write_bytes(TEXT)
    origin = open_source(source, SourceOptions(labels=labels)).facts.weights
    assert isinstance(origin, Weights)
    assert origin.origin.startswith("animals_v1.tflite 'two lines xxx")
    assert len(origin.origin) < 300


def test_a_tensor_name_with_a_line_break() -> None:
    net = Network()
    x = net.make("COS", [net.input], net.shape(net.input))
    net.builder.rename(x, "first\nsecond")
    assert read_tflite(net.file(x), "net.tflite").tensors[x].name == "first second"
