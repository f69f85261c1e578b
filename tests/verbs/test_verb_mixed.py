"""Layers kept in float: which are named, which are found, what is reported, and that other verbs take the file."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_graphs import photos
from small_network import LABELS, PHOTOS
from uneven_network import uneven_network

import edgenet
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.progress import silent
from edgenet.quantize.integer import real_logits
from edgenet.quantize.quantized_graph import QuantizedGraph, float_layers, weighted_layers
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.metadata import read_facts
from edgenet.tflite.to_graph import quantized_graph
from edgenet.workflows.convert import Conversion, convert
from edgenet.workflows.mixed_precision import (
    ENOUGH_DB,
    LEAST_GAIN_DB,
    FloatReference,
    MixedPrecision,
    keep_layers_float,
    named_layers,
)

IMAGES = photos(24, (16, 16))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return uneven_network()


@pytest.fixture(scope="module")
def good(graph: Graph) -> QuantizedGraph:
    return RECIPES["balanced"].quantize(graph, IMAGES, silent)


def spoiled(quantized: QuantizedGraph, layer: str, steps: int = 40) -> QuantizedGraph:
    """Return the graph with one layer whose integers are off by up to this many steps."""
    weights = quantized.weights[layer]
    noise = np.random.default_rng(0).integers(-steps, steps + 1, weights.values.shape)
    values = np.clip(weights.values + noise, -127, 127).astype(np.int8)
    return replace(quantized, weights={**quantized.weights, layer: replace(weights, values=values)})


def keep(quantized: QuantizedGraph, graph: Graph, layers: str) -> tuple[QuantizedGraph, MixedPrecision]:
    others = photos(12, (16, 16), 1)
    return keep_layers_float(quantized, graph, IMAGES, FloatReference(others, run(graph, others)), layers)


def test_auto_finds_the_layer_that_is_spoiled(graph: Graph, good: QuantizedGraph) -> None:
    mixed, found = keep(spoiled(good, "depthwise"), graph, "auto")
    assert found.layers[0].name == "depthwise"
    assert float_layers(mixed) == tuple(layer.name for layer in found.layers)
    assert found.layers[0].gain_db > 5
    assert found.sqnr_after_db > found.sqnr_before_db + 5
    assert found.layers[0].added_bytes == 3 * 9 * 16
    assert found.layers[0].mult_adds_percent < 10


def test_auto_keeps_within_its_share_of_the_work(graph: Graph, good: QuantizedGraph) -> None:
    """A sixth of the mult-adds are in the spoiled layer."""
    mixed, found = keep(spoiled(good, "again", 127), graph, "auto")
    assert "again" not in mixed.kept_float
    assert "within 10% of the mult-adds" in found.reason


def test_auto_leaves_a_good_file_alone(graph: Graph, good: QuantizedGraph) -> None:
    mixed, found = keep(good, graph, "auto")
    assert mixed is good
    assert found.sqnr_before_db > ENOUGH_DB
    assert found.reason.startswith("int8 is already good enough")
    assert (found.layers, found.added_bytes, found.latency_ratio, found.steps) == ((), 0, None, ())
    assert found.sqnr_after_db == found.sqnr_before_db


def test_the_report_agrees_with_the_file(graph: Graph, good: QuantizedGraph) -> None:
    mixed, found = keep(good, graph, "logits")
    others = photos(12, (16, 16), 1)
    judge = FloatReference(others, run(graph, others))
    assert found.sqnr_after_db == pytest.approx(judge.sqnr_of(real_logits(mixed, others)), abs=0.1)
    assert found.layers[0].gain_db == pytest.approx(found.sqnr_after_db - found.sqnr_before_db)
    assert found.photos == 12
    assert found.latency_ratio is not None
    assert found.latency_ratio > 0
    assert found.steps == ("kept in float: logits",)
    assert found.layers[0].gain_db > LEAST_GAIN_DB  # the logits' own rounding is gone


def test_one_photo_is_enough(graph: Graph, good: QuantizedGraph) -> None:
    one = IMAGES[:1]
    judge = FloatReference(one, run(graph, one))
    _, found = keep_layers_float(spoiled(good, "depthwise"), graph, one, judge, "auto")
    assert found.layers[0].name == "depthwise"


def test_names_and_patterns(graph: Graph) -> None:
    assert named_layers(graph, "logits") == ("logits",)
    assert named_layers(graph, " logits , stem ") == ("stem", "logits")
    assert named_layers(graph, "*e*d,l?st") == ("expand", "last")
    assert named_layers(graph, "auto") == ()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("expnd", "no layer with weights is called 'expnd'; similar names are expand"),
        ("logits,sum", "no layer with weights is called 'sum'; similar names are "),
        ("features.*", "no layer with weights is called 'features.*'; similar names are "),
        ("*", "names all 7 layers with weights; use --float"),
        (" , ", "names no layer"),
    ],
)
def test_wrong_names_are_refused(graph: Graph, names: str, found: str) -> None:
    with pytest.raises(EdgenetError) as refused:
        named_layers(graph, names)
    assert found in str(refused.value)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight photos: reading them takes most of the time here."""
    folder = tmp_path_factory.mktemp("few")
    for path in sorted(PHOTOS.glob("*.jpg"))[::14]:
        shutil.copyfile(path, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def converted(made: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    """small.safetensors with its classifier and its last convolution in float."""
    out = tmp_path_factory.mktemp("mixed") / "mixed.tflite"
    return convert(
        str(made / "small.safetensors"),
        out,
        calibration=few,
        photos=8,
        recipe="minmax",
        keep_float="classifier,features.13/pointwise/*",
    )


def test_convert_writes_a_mixed_file(converted: Conversion, made: Path) -> None:
    data = Path(converted.out).read_bytes()
    quantized = quantized_graph(read_tflite(data, "it"))
    assert float_layers(quantized) == ("features.13/pointwise/conv", "classifier")
    assert len(quantized.kept_float) == 3  # with the mean between them
    assert converted.mixed is not None
    assert converted.mixed.added_bytes == pytest.approx(
        3 * (256 * 256 + 256 * len(LABELS)), abs=converted.mixed.added_bytes * 0.05
    )
    assert converted.operators == 33  # one DEQUANTIZE has only moved
    facts = read_facts(data, "it")
    assert facts is not None
    assert facts.quantization is not None
    assert facts.quantization.steps[:-1] == RECIPES["minmax"].steps
    assert facts.quantization.steps[-1] == "kept in float: features.13/pointwise/conv, classifier"
    assert converted.quantization == facts.quantization


def test_the_same_photos_give_the_same_bytes(
    converted: Conversion, made: Path, few: Path, tmp_path: Path
) -> None:
    again = convert(
        str(made / "small.safetensors"),
        tmp_path / "again.tflite",
        calibration=few,
        photos=8,
        recipe="minmax",
        keep_float="features.13/pointwise/conv,classifier",
    )
    assert again.sha256 == converted.sha256


def test_inspect_takes_the_file(converted: Conversion, made: Path, few: Path, tmp_path: Path) -> None:
    plot = tmp_path / "mixed.html"
    found = edgenet.inspect(converted.out, against=made / "small.safetensors", data=few, photos=2, plot=plot)
    assert found.compared is not None
    float_row = next(row for row in found.operators if row.output == "features.13/pointwise/conv")
    assert (float_row.dtype, float_row.scale) == ("float32", None)
    assert float_row.mult_adds > 0
    errors = {error.node: error for error in found.compared.errors.layers}
    assert (errors["classifier"].range_used, errors["classifier"].channels) == (None, None)
    assert errors["features.13/depthwise/conv"].range_used is not None
    shares = {share.node: share for share in found.compared.noise.layers}
    assert (shares["classifier"].activations, shares["classifier"].weights) == (0, 0)
    assert shares["features.13/depthwise/conv"].activations > 0
    assert 0.5 < found.compared.noise.explained < 2
    assert "features.13/pointwise/conv" in plot.read_text()


def test_package_takes_the_file(converted: Conversion, tmp_path: Path) -> None:
    packed = edgenet.package(Path(converted.out), tmp_path / "mixed.edgenet")
    assert packed.manifest.quantization == converted.quantization


def test_a_wrong_name_is_reported_before_the_work(made: Path, few: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    with pytest.raises(
        EdgenetError, match="no layer with weights is called 'clasifier'; similar names are classifier"
    ):
        convert(
            str(made / "small.safetensors"),
            tmp_path / "x.tflite",
            calibration=few,
            photos=8,
            recipe="minmax",
            keep_float="clasifier",
            progress=lambda stage, done, total: stages.append(stage),
        )
    assert "observing tensors" not in stages
    assert not (tmp_path / "x.tflite").exists()


def test_every_layer_name_is_one_that_inspect_shows(converted: Conversion, made: Path) -> None:
    shown = {row.output for row in edgenet.inspect(made / "int8.tflite").operators}
    data = (made / "int8.tflite").read_bytes()
    assert set(weighted_layers(quantized_graph(read_tflite(data, "it")).graph)) <= shown
    assert {layer.name for layer in converted.mixed.layers} <= shown  # type: ignore[union-attr]
