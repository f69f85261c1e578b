"""`convert` and `evaluate` on .onnx files as people have them: one score, several outputs, their own normalization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from small_graphs import float_file, lite
from small_network import PHOTOS
from torch import nn
from verbs_photos import solid

from edgenet.errors import EdgenetError
from edgenet.graph.onnx_reader import export_onnx, read_onnx
from edgenet.workflows.convert import Conversion, convert
from edgenet.workflows.evaluate import evaluate

SIZE = (16, 24)


class Redness(nn.Module):
    """One score, positive for red pictures: the mean of red less that of blue, times a factor."""

    def __init__(self, ending: nn.Module) -> None:
        super().__init__()
        self.color = nn.Conv2d(3, 2, 1)
        self.score = nn.Linear(2, 1)
        self.ending = ending
        with torch.no_grad():
            self.color.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[..., None, None])
            self.color.bias.zero_()
            self.score.weight.copy_(torch.tensor([[6.0, -6.0]]))
            self.score.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ending(self.score(torch.relu(self.color(x)).mean((2, 3))))


def save(path: Path, module: nn.Module, size: tuple[int, int] = SIZE) -> Path:
    torch.manual_seed(0)
    onnx.save(export_onnx(module.eval(), size, 17), path)
    return path


def int8(source: Path, **options: Any) -> Conversion:
    out = source.with_suffix(".tflite")
    options = {"calibration": PHOTOS, "normalization": "0..1", "photos": 8, "recipe": "minmax", **options}
    return convert(source, out, **options)


@pytest.fixture
def red_or_not(tmp_path: Path) -> Path:
    """Class folders "other" and "red" of four photos each."""
    root = tmp_path / "set"
    for name, colours in (("red", ("red",) * 4), ("other", ("blue", "green", "blue", "blue"))):
        (root / name).mkdir(parents=True)
        for number, colour in enumerate(colours):
            (root / name / f"{number}.png").write_bytes(solid(colour, number))
    return root


@pytest.mark.parametrize("ending", [nn.Identity(), nn.Sigmoid()], ids=["logit", "sigmoid"])
def test_one_score_is_two_classes(ending: nn.Module, tmp_path: Path, red_or_not: Path) -> None:
    source = save(tmp_path / "net.onnx", Redness(ending))
    unnamed = int8(source)
    assert unnamed.classes == 2
    assert any(
        "binary classifier" in text and "give --labels with both names" in text for text in unnamed.warnings
    )

    pictures = np.zeros((2, *SIZE, 3), np.uint8)
    pictures[0, ..., 2] = pictures[1, ..., 0] = 255
    half = pictures.copy()
    half[:, 8:] = 0
    named = int8(source, labels=["other", "red"], calibration=[*pictures, *half])
    assert not any("binary" in text for text in named.warnings)
    scores = lite(Path(named.out).read_bytes(), pictures)
    np.testing.assert_allclose(scores[:, 1], 1 / (1 + np.exp([6.0, -6.0])), atol=0.01)
    assert evaluate(named.out, red_or_not).models[0].top1 == 100.0
    with pytest.raises(
        EdgenetError, match=r"names 1 classes and the network has 2 outputs; the negative class"
    ):
        int8(source, labels=["red"])


def test_a_torch_module_of_one_score_too(tmp_path: Path) -> None:
    made = convert(
        Redness(nn.Sigmoid()), tmp_path / "net.tflite", float=True, resolution=16, normalization="0..1"
    )
    assert made.classes == 2
    scores = lite((tmp_path / "net.tflite").read_bytes(), np.zeros((1, 16, 16, 3), np.uint8))
    np.testing.assert_allclose(scores, [[0.5, 0.5]], atol=1e-6)


def test_a_float_tflite_of_one_score_too(tmp_path: Path) -> None:
    graph = read_onnx(save(tmp_path / "net.onnx", Redness(nn.Sigmoid())))
    (tmp_path / "other.tflite").write_bytes(float_file(graph))
    made = convert(tmp_path / "other.tflite", tmp_path / "net.tflite", float=True, normalization="0..1")
    assert made.classes == 2
    scores = lite((tmp_path / "net.tflite").read_bytes(), np.zeros((1, *SIZE, 3), np.uint8))
    np.testing.assert_allclose(scores, [[0.5, 0.5]], atol=1e-6)


class TwoOutputs(Redness):
    """The features, and the scores of three classes that are computed from them."""

    def forward(self, x: torch.Tensor) -> Any:
        features = torch.relu(self.color(x)).mean((2, 3))
        return features, torch.cat([features, self.score(features)], dim=1)


def test_the_output_behind_the_features_or_the_one_that_is_named(tmp_path: Path) -> None:
    source = save(tmp_path / "net.onnx", TwoOutputs(nn.Identity()))
    assert int8(source).classes == 3
    features = onnx.load(source).graph.output[0].name
    assert int8(source, output=features).classes == 2
    with pytest.raises(EdgenetError, match=r"has no output 'x'; its outputs are"):
        int8(source, output="x")


class Normalizing(nn.Module):
    """A network that normalizes its pixels itself."""

    def __init__(self, mean: list[float], deviation: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network((x - self.mean) / self.deviation)


KNOWN = {
    "0..1": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "0..255": ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    "0..1 ": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "0..255 ": ([0.0, 0.0, 0.0], [255.0, 255.0, 255.0]),
}


@pytest.mark.parametrize("pixels", KNOWN)
def test_a_normalization_of_its_own_is_recognised_and_said(pixels: str, tmp_path: Path) -> None:
    source = save(tmp_path / "net.onnx", Normalizing(*KNOWN[pixels]))
    guessed = int8(source, normalization=None)
    assert any(f"given them as --normalization {pixels.strip()}" in text for text in guessed.warnings)
    data = Path(guessed.out).read_bytes()
    int8(source, normalization=pixels.strip())
    assert Path(guessed.out).read_bytes() == data


def test_an_odd_scaling_or_none_is_asked_about(tmp_path: Path) -> None:
    for mean, deviation in (([7.0, 7, 7], [3.0, 3, 3]), ([0.0, 0, 0], [1.0, 1, 1])):
        source = save(tmp_path / "net.onnx", Normalizing(mean, deviation))
        with pytest.raises(
            EdgenetError, match=r"does not say what its pixels went through in training; give --norm"
        ):
            int8(source, normalization=None)


def test_uint8_pixels_need_no_normalization(tmp_path: Path) -> None:
    source = save(tmp_path / "net.onnx", Normalizing(*KNOWN["0..255"]))
    model = onnx.load(source)
    cast = onnx.helper.make_node("Cast", ["bytes"], ["image"], to=TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    model.graph.input[0].name = "bytes"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(model, source)
    assert any("takes uint8 pixels" in text for text in int8(source, normalization=None).warnings)


def test_an_open_batch_and_weights_in_another_file(tmp_path: Path) -> None:
    source = save(tmp_path / "net.onnx", Redness(nn.Identity()))
    model = onnx.load(source)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, source, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert int8(source).classes == 2
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(
        EdgenetError, match=r"keeps its weights in another file, 'net\.onnx\.data', which is not"
    ):
        int8(source)


def test_more_than_one_partition_is_stated_with_its_cost(tmp_path: Path) -> None:
    layers = [
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.GELU(),
        nn.Conv2d(8, 8, 3, 1, 1),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
    ]
    source = save(tmp_path / "net.onnx", nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 3)))
    parted = int8(source).partitions
    assert parted is not None
    assert (parted.count, parted.outside) == (3, {"GELU": 2})
    assert parted.operators - parted.operators_taken == 2
    assert parted.share is not None
    assert 0 < parted.share <= 1
    line = parted.describe()
    assert line.startswith(
        f"3 partitions: XNNPACK runs {parted.operators_taken} of {parted.operators} operators; "
    )
    assert "LiteRT's own kernels run 2 GELU, which take " in line

    whole = int8(save(tmp_path / "other.onnx", Redness(nn.Identity()))).partitions
    assert whole is not None
    assert (whole.count, whole.outside, whole.share) == (1, {}, None)
