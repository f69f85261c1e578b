"""Networks with useless weights, such as NaN and zeros, from every kind of source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_graphs import lite, photos
from small_network import PHOTOS, RESOLUTION, save_onnx_of, small_network

from edgenet.errors import EdgenetError
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.workflows.convert import Conversion, convert
from edgenet.zoo.checkpoint import save_checkpoint

DEPTHWISE = "features.2.depthwise.conv.weight"
NORM = "features.2.depthwise.norm.bias"


def save(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> str:
    """The small network after a change of its tensors."""
    network = small_network()
    with torch.no_grad():
        change(dict(network.module.named_parameters()))
    if path.suffix == ".onnx":
        save_onnx_of(network.module, path)
    elif path.suffix == ".safetensors":
        save_checkpoint(path, network)
    else:
        save_checkpoint(path.with_suffix(".safetensors"), network)
        convert(str(path.with_suffix(".safetensors")), path, float=True)
    return str(path)


def normalization(way: str) -> str | None:
    return "-1..1" if way == ".onnx" else None


def int8(source: str, recipe: str) -> Conversion:
    out = Path(source).with_name("int8.tflite")
    return convert(
        source,
        out,
        calibration=PHOTOS,
        photos=8,
        recipe=recipe,
        normalization=normalization(Path(source).suffix),
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("way", [".safetensors", ".onnx"])
def test_weights_that_are_no_numbers_are_reported_with_their_layer(
    tmp_path: Path, way: str, value: float
) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["classifier.weight"].view(-1)[5:8] = value

    if way == ".safetensors":
        expected = r"not finite: classifier\.weight \(classifier\.weight: 3 of its 1280 values\)"
    else:
        kind = "NaN" if np.isnan(value) else "infinite"
        expected = rf"'classifier/Gemm'.*'classifier\.weight' holds 3 {kind} among 1280 values"
    with pytest.raises(EdgenetError, match=expected):
        int8(save(tmp_path / f"bad{way}", spoil), "minmax")


def test_the_same_in_a_tflite(tmp_path: Path) -> None:
    program = read_tflite(Path(save(tmp_path / "bad.tflite", lambda _: None)).read_bytes(), "it")
    (weight,) = (tensor for tensor in program.tensors if tensor.name == "classifier/weight")
    assert weight.data is not None
    values = weight.data.copy()
    values.reshape(-1)[[3, 4, 9]] = np.nan, np.nan, np.inf
    tensors = tuple(replace(t, data=values) if t is weight else t for t in program.tensors)
    (tmp_path / "bad.tflite").write_bytes(write_tflite(replace(program, tensors=tensors)))
    with pytest.raises(
        EdgenetError, match="weights of 'classifier' hold 2 NaN and 1 infinite among 1280 values"
    ):
        int8(str(tmp_path / "bad.tflite"), "minmax")


def test_weights_that_leave_float32_when_they_are_folded(tmp_path: Path) -> None:
    def enlarge(tensors: dict[str, torch.Tensor]) -> None:
        tensors[DEPTHWISE].mul_(1e25)
        tensors["features.2.depthwise.norm.weight"].mul_(1e25)

    with pytest.raises(EdgenetError, match=r"features\.2/depthwise/conv.*infinite among 144 values"):
        int8(save(tmp_path / "bad.onnx", enlarge), "minmax")


@pytest.mark.parametrize(
    ("way", "recipe"),
    [
        pytest.param(".safetensors", "balanced", marks=pytest.mark.slow),
        *((way, "minmax") for way in (".safetensors", ".onnx", ".tflite")),
    ],
)
def test_a_layer_of_zeros_is_converted_and_reported(tmp_path: Path, way: str, recipe: str) -> None:
    """Everything behind it sees the same value on every photo; there is nothing to learn from its moments."""
    made = int8(save(tmp_path / f"zeros{way}", lambda tensors: tensors[DEPTHWISE].zero_()), recipe)
    (warning_line,) = (warning for warning in made.warnings if "all weights are zero" in warning)
    assert "features.2/depthwise" in warning_line
    check_runs(made)


@pytest.mark.parametrize(
    ("way", "recipe"),
    [
        pytest.param(".safetensors", "balanced", marks=pytest.mark.slow),
        (".onnx", "minmax"),
        (".tflite", "minmax"),
    ],
)
def test_a_channel_that_never_fires(tmp_path: Path, way: str, recipe: str) -> None:
    def silence(tensors: dict[str, torch.Tensor]) -> None:
        tensors[NORM].view(-1)[0] = -1e3

    made = int8(save(tmp_path / f"silent{way}", silence), recipe)
    assert not any("weights" in warning for warning in made.warnings)
    check_runs(made)


def check_runs(made: Conversion) -> None:
    """LiteRT runs the file. Random weights say nothing about its accuracy."""
    scores = lite(Path(made.out).read_bytes(), photos(3, (RESOLUTION, RESOLUTION)))
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
