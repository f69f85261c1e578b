"""A network with a non-square input: what `convert` writes, the device scripts run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from edgenet_device.ports import RECTANGLE_RULE
from edgenet_device.preprocess import prepare
from small_network import PHOTOS
from torch import nn

import edgenet
from edgenet.bundle import open_bundle


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .onnx that takes pictures of 24 x 40 pixels."""
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU6(),
        nn.Conv2d(8, 12, 3, 2, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
    )
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(12, 3)).eval()
    path = tmp_path_factory.mktemp("wide") / "wide.onnx"
    torch.onnx.export(network, (torch.zeros(1, 3, 24, 40),), path, dynamo=False)
    return path


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_a_rectangle_from_convert_to_the_device(wide: Path, tmp_path: Path, precision: str) -> None:
    out = tmp_path / "wide.tflite"
    how = (
        {"float": True} if precision == "float" else {"calibration": PHOTOS, "photos": 8, "recipe": "minmax"}
    )
    edgenet.convert(wide, out, normalization="-1..1", labels=("a", "b", "c"), **how)
    bundle = edgenet.package(out).out
    manifest = open_bundle(bundle).manifest
    assert (manifest.input.height, manifest.input.width, manifest.input.resize_rule) == (
        24,
        40,
        RECTANGLE_RULE,
    )
    picture = np.random.default_rng(0).integers(0, 256, (90, 100, 3), np.uint8)
    classifier = edgenet.load(bundle)
    assert (classifier.height, classifier.width) == (24, 40)
    prepared = prepare(np.ascontiguousarray(picture[..., ::-1]), (24, 40))[0]
    assert (classifier(picture) == classifier.score_prepared(prepared)).all()


def test_evaluate_compares_a_rectangle_with_its_float_source(
    wide: Path, tmp_path: Path, colour_folders: Path
) -> None:
    out = tmp_path / "wide.tflite"
    labels = ("red", "green", "blue")
    edgenet.convert(wide, out, normalization="-1..1", labels=labels, float=True)
    found = edgenet.evaluate([wide, out], colour_folders, normalization="-1..1", labels=labels)
    assert found.models[1].agreement == 100
