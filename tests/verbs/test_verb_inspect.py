"""`edgenet.inspect`: the contents of a file, and the error of its layers."""

from __future__ import annotations

import hashlib
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_network import LABELS, PHOTOS, save_small_checkpoint

import edgenet
from edgenet.bundle import write_bundle
from edgenet.errors import EdgenetError
from edgenet.manifest import Accuracy
from edgenet.tflite.metadata import read_facts, read_labels
from edgenet.workflows.inspect import Inspection
from edgenet.zoo.counting import count
from edgenet.zoo.registry import build


def inspect(path: Path, **comparison: object) -> Inspection:
    return edgenet.inspect(path, **comparison)


def test_int8(made: Path) -> None:
    data = (made / "int8.tflite").read_bytes()
    found = inspect(made / "int8.tflite")
    assert (found.bytes, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (found.precision, found.labels) == ("int8", 5)
    assert found.input == "image uint8 [1, 64, 64, 3]"
    assert found.output == "probability float32 [1, 5]"
    assert found.facts == read_facts(data, "x")
    assert found.compared is None
    assert sum(found.kinds.values()) == len(found.operators) == 33
    assert [row.number for row in found.operators] == list(range(33))


def test_cost_is_that_of_the_network(made: Path) -> None:
    """Counted from the file, float or int8, as from the torch module."""
    with torch.device("meta"):
        expected = count(build("mobilenet_v1_0.25_64", classes=5), 64)
    for name in ("int8.tflite", "float.tflite"):
        found = inspect(made / name)
        assert found.cost.mult_adds == expected.mult_adds
        assert sum(row.mult_adds for row in found.operators) == expected.mult_adds


def test_float(made: Path) -> None:
    found = inspect(made / "float.tflite")
    assert found.precision == "float32"
    assert "QUANTIZE" not in found.kinds
    weights = {name: inspect(made / f"{name}.tflite") for name in ("int8", "float")}
    conv = {name: next(r for r in w.operators if r.kind == "CONV_2D") for name, w in weights.items()}
    assert conv["float"].weight_bytes == 4 * (8 * 3 * 3 * 3 + 8)
    assert conv["int8"].weight_bytes == 8 * 3 * 3 * 3 + 4 * 8
    assert conv["int8"].scale is not None
    assert conv["float"].scale is None


def test_a_bundle_shows_its_model_and_its_accuracy(made: Path, tmp_path: Path) -> None:
    model = (made / "int8.tflite").read_bytes()
    facts = read_facts(model, "x")
    assert facts is not None
    accuracy = Accuracy(91.0, 90.5, 200, "flowers")
    bundle = tmp_path / "net.edgenet"
    write_bundle(bundle, model, read_labels(model) or (), replace(facts, accuracy=accuracy))
    found, bare = inspect(bundle), inspect(made / "int8.tflite")
    assert found.facts == replace(facts, accuracy=accuracy)
    assert (found.sha256, found.operators, found.labels) == (bare.sha256, bare.operators, len(LABELS))


def test_errors_layer_by_layer(made: Path) -> None:
    against = str(made / "small.safetensors")
    found = inspect(made / "int8.tflite", against=against, data=PHOTOS, photos=4)
    assert found.compared is not None
    errors = found.compared.errors.layers
    operators = {row.output: row for row in found.operators}
    assert all(error.node in operators for error in errors)
    weighted = [row.output for row in found.operators if row.mult_adds]
    assert {error.node for error in errors} >= set(weighted)
    for error in errors:
        assert error.range_used is not None
        assert 0 < error.range_used <= 1
        assert error.channels is not None
        assert error.channels.channels == operators[error.node].shape[-1]
        assert error.matched if error.saturated is None else 0 <= error.saturated <= 1
    by_node = {error.node: error.sqnr_db for error in errors}
    # Noise adds up on the way: the first layer is nearly right, the last bears all of it.
    first, last = weighted[0], weighted[-1]
    assert math.isfinite(by_node[last])
    assert by_node[first] > 25
    assert by_node[last] < by_node[first]


def test_errors_show_where_a_layer_was_spoiled(made: Path, tmp_path: Path) -> None:
    """Against a network whose seventh layer differs, the layers before it keep their figures."""
    tensors = load_file(made / "small.safetensors")
    with safe_open(made / "small.safetensors", framework="pt") as file:
        metadata = file.metadata()
    name = "features.7.pointwise.conv.weight"
    tensors[name] = tensors[name].flip(0).contiguous()
    save_file(tensors, tmp_path / "spoiled.safetensors", metadata)
    figures = []
    for source in (made / "small.safetensors", tmp_path / "spoiled.safetensors"):
        found = inspect(made / "int8.tflite", against=str(source), data=PHOTOS, photos=2)
        assert found.compared is not None
        figures.append({error.node: error.sqnr_db for error in found.compared.errors.layers})
    right, spoiled = figures
    before, at = "features.6/pointwise/conv", "features.7/pointwise/conv"
    assert spoiled[before] == right[before]
    assert spoiled[at] < right[at] - 10


def test_unreadable_photos_are_named(made: Path, tmp_path: Path) -> None:
    shutil.copyfile(next(PHOTOS.glob("*.jpg")), tmp_path / "good.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    found = inspect(made / "int8.tflite", against=str(made / "small.safetensors"), data=tmp_path)
    assert found.compared is not None
    assert [name for name, _ in found.compared.skipped] == ["bad.jpg"]


def test_against_another_network_is_refused(made: Path, tmp_path: Path) -> None:
    other = save_small_checkpoint(tmp_path / "v2.safetensors", "mobilenet_v2", 0.35)
    with pytest.raises(EdgenetError, match="the networks differ"):
        inspect(made / "int8.tflite", against=str(other), data=PHOTOS, photos=1)


def test_a_float_file_has_no_int8_error(made: Path) -> None:
    with pytest.raises(EdgenetError, match="not int8"):
        inspect(made / "float.tflite", against=str(made / "small.safetensors"), data=PHOTOS, photos=1)


@pytest.mark.slow
def test_a_profile_shows_where_the_time_goes(made: Path) -> None:
    """Each operator beside its mult-adds; together they are the network's time (CPU time here: one thread)."""
    found = edgenet.inspect(made / "int8.tflite", profile=True)
    assert found.profile is not None
    assert [row.kind for row in found.profile.operators] == [row.kind for row in found.operators]
    assert [row.output for row in found.profile.operators] == [row.output for row in found.operators]
    assert [row.mult_adds for row in found.profile.operators] == [row.mult_adds for row in found.operators]
    assert sum(row.share for row in found.profile.operators) == pytest.approx(1)
    total = sum(row.ms for row in found.profile.operators)
    assert total == pytest.approx(sum(found.profile.kinds.values()))
    # Operators count CPU time, the whole counts wall time, which is longer if other programs use the CPU.
    assert 0.1 < total / found.profile.p50_ms < 1.5
    times = list(found.profile.kinds.values())
    assert times == sorted(times, reverse=True)  # which kind leads is this machine's affair
    assert set(found.profile.kinds) == {row.kind for row in found.operators}
