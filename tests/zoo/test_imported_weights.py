"""torchvision's V2 and TF-slim's V1 give the same results here as in their own frameworks; anything else is refused."""

from __future__ import annotations

import csv
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.zoo.catalogue import find_entry
from edgenet.zoo.classifier import SLIM, TORCHVISION
from edgenet.zoo.foreign_checkpoint import load_foreign
from edgenet.zoo.mobilenet_v1 import channel_plan as v1_plan
from edgenet.zoo.mobilenet_v2 import channel_plan as v2_plan
from edgenet.zoo.readers import infer_width, load_network, load_slim_v1
from edgenet.zoo.registry import build


def block(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


class Bottleneck(nn.Module):
    """One bottleneck with the tensor names of torchvision's file."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [block(inputs, hidden, 1)] if expansion > 1 else []
        layers += [block(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


class TorchvisionShaped(nn.Module):
    """MobileNetV2 1.0 as torchvision names and pads it, written out channel by channel."""

    # Output channels and stride of each bottleneck.
    ROWS = (
        *((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1), (64, 1)),
        *((96, 1), (96, 1), (96, 1), (160, 2), (160, 1), (160, 1), (320, 1)),
    )

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [block(3, 32, 3, 2)]
        inputs = 32
        for index, (outputs, stride) in enumerate(self.ROWS):
            layers.append(Bottleneck(inputs, outputs, stride, 6 if index else 1))
            inputs = outputs
        self.features = nn.Sequential(*layers, block(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def photos(archive_path: Path, count: int, size: int = 224) -> tuple[Tensor, list[int]]:
    """Centre squares [count,3,size,size] in 0..255 of evenly spread photos, and their classes."""
    with zipfile.ZipFile(archive_path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("labels.csv"))
        rows = list(csv.DictReader(io.StringIO(archive.read(name).decode())))
        rows = rows[:: len(rows) // count][:count]
        squares = [centre_square(archive.read(name.replace("labels.csv", row["file"])), size) for row in rows]
    return torch.stack(squares), [int(row["class_index"]) for row in rows]


def centre_square(data: bytes, size: int) -> Tensor:
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    box = (left, top, left + side, top + side)
    pixels = np.array(photo.resize((size, size), Image.Resampling.BILINEAR, box=box), np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)


@torch.no_grad()
def test_v2_equals_a_torchvision_shaped_reference(official_v2: Path) -> None:
    reference = TorchvisionShaped().eval()
    reference.load_state_dict(torch.load(official_v2, weights_only=True), strict=True)
    loaded = load_foreign(official_v2)
    assert (loaded.variant.name, loaded.normalization) == ("mobilenet_v2_1.0_224", TORCHVISION)
    entry = find_entry("mobilenet_v2_1.0_224")
    assert (loaded.origin, loaded.licence) == (entry.origin, entry.terms)
    torch.manual_seed(0)
    # Even and odd sizes pad differently.
    for size in (224, 161):
        pixels = torch.randint(0, 256, (2, 3, size, size)).float()
        expected = reference(TORCHVISION(pixels))
        assert (loaded.with_pixels()(pixels) - expected).abs().max() <= 1e-3
        assert expected.std() > 0.5


@torch.no_grad()
def test_v2_names_photos(official_v2: Path, shared_data: Path) -> None:
    pixels, classes = photos(shared_data / "imagenet-sample-500.zip", 16)
    top = load_foreign(official_v2).with_pixels()(pixels).argmax(1)
    assert sum(int(a) == b for a, b in zip(top, classes, strict=True)) >= 11


@pytest.mark.slow
@torch.no_grad()
def test_v1_names_photos(shared_data: Path) -> None:
    loaded = load_slim_v1(shared_data / "mobilenet_v1_1.0_224_imagenet.npz")
    assert loaded.variant.name == "mobilenet_v1_1.0_224"
    assert loaded.normalization == SLIM
    assert (len(loaded.labels), loaded.labels[0]) == (1001, "background")
    assert not loaded.module.training
    pixels, classes = photos(shared_data / "imagenet-sample-500.zip", 32)
    top = loaded.with_pixels()(pixels).argmax(1)
    assert sum(int(a) == b + 1 for a, b in zip(top, classes, strict=True)) >= 27


def v2_state(tmp_path: Path, classes: int = 4) -> tuple[Path, dict[str, Tensor], TorchvisionShaped]:
    torch.manual_seed(2)
    reference = TorchvisionShaped(classes).eval()
    path = tmp_path / "v2.pth"
    torch.save(reference.state_dict(), path)
    return path, reference.state_dict(), reference


@torch.no_grad()
def test_v2_of_other_classes(tmp_path: Path) -> None:
    path, _, reference = v2_state(tmp_path)
    loaded = load_network(path, resolution=96)
    x = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(loaded.module(x), reference(x), rtol=1e-4, atol=1e-5)
    assert (loaded.variant.name, loaded.labels[3]) == ("mobilenet_v2_1.0_96", "class 3")
    assert "SHA-256" in loaded.origin


@pytest.mark.slow
def test_v2_refuses_other_state_dicts(tmp_path: Path) -> None:
    path, state, _ = v2_state(tmp_path)
    shaped = {**state, "features.3.conv.0.0.weight": torch.zeros(3)}
    spoiled = {**state, "features.3.conv.0.0.weight": state["features.3.conv.0.0.weight"] * float("nan")}
    narrow = {
        **state,
        "features.18.0.weight": torch.zeros(1234, 320, 1, 1),
        "classifier.1.weight": torch.zeros(4, 1234),
    }
    cases = {
        "a network that edgenet does not know": {"conv1.weight": torch.zeros(64, 3, 7, 7)},
        r"1 tensor is missing \(features\.0\.1\.weight\)": {
            k: v for k, v in state.items() if k != "features.0.1.weight"
        },
        r"1 tensor is left over \(extra\.weight\)": {**state, "extra.weight": torch.zeros(1)},
        r"1 tensor is of another shape \(features\.3\.conv\.0\.0\.weight\)": shaped,
        "not finite": spoiled,
        r"2 tensors are of another shape \(classifier\.1\.weight, features\.18\.0\.weight\)": narrow,
        "holds a list": [1, 2],
        "not named tensors": {"epoch": 3},
    }
    for said, content in cases.items():
        torch.save(content, path)
        with pytest.raises(EdgenetError, match=said) as error:
            load_foreign(path)
        assert str(path) in error.value.found
        assert error.value.remedy


class Dangerous:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_v2_refuses_files_that_are_not_weights(tmp_path: Path) -> None:
    path, _, _ = v2_state(tmp_path)
    whole = path.read_bytes()
    for content, said in (
        (b"", "an empty file"),
        (b"text, not weights", "not a file of weights of PyTorch"),
        (whole[: len(whole) // 2], "the beginning of a checkpoint of PyTorch whose end is missing"),
    ):
        path.write_bytes(content)
        with pytest.raises(EdgenetError, match=said):
            load_foreign(path)
    path.write_bytes(pickle.dumps(Dangerous(tmp_path / "touched")))
    with pytest.raises(
        EdgenetError, match="is a Python pickle, not a checkpoint; edgenet never unpickles one"
    ):
        load_foreign(path)
    assert not (tmp_path / "touched").exists()
    for absent in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(EdgenetError, match="there is no file"):
            load_foreign(absent)


def slim_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """The arrays that TF-slim would have for a MobileNetV1 of ours."""
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    arrays = {}
    for index in range(14):
        for part in ("",) if index == 0 else ("depthwise", "pointwise"):
            theirs = "MobilenetV1/Conv2d_0" if index == 0 else f"MobilenetV1/Conv2d_{index}_{part}"
            ours = f"features.{index}" if index == 0 else f"features.{index}.{part}"
            depthwise = part == "depthwise"
            kernel = state[f"{ours}.conv.weight"].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
            arrays[f"{theirs}/{'depthwise_' if depthwise else ''}weights"] = kernel
            for key, value in zip(
                ("gamma", "beta", "moving_mean", "moving_variance"),
                ("weight", "bias", "running_mean", "running_var"),
                strict=True,
            ):
                arrays[f"{theirs}/BatchNorm/{key}"] = state[f"{ours}.norm.{value}"]
    logits = "MobilenetV1/Logits/Conv2d_1c_1x1"
    arrays[f"{logits}/weights"] = state["classifier.weight"].T[None, None]
    arrays[f"{logits}/biases"] = state["classifier.bias"]
    return arrays


@torch.no_grad()
def test_v1_of_other_width_and_classes(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = build("mobilenet_v1_0.37_64", classes=6, normalization=SLIM).eval()
    np.savez(tmp_path / "v1.npz", **slim_arrays(network))
    loaded = load_slim_v1(tmp_path / "v1.npz", resolution=64)
    assert loaded.variant.name == "mobilenet_v1_0.37_64"
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded.module(x), network(x))


def test_v1_refuses_other_arrays(tmp_path: Path) -> None:
    arrays = slim_arrays(build("mobilenet_v1_0.25_64", classes=3))
    depthwise, gamma = (
        "MobilenetV1/Conv2d_1_depthwise/depthwise_weights",
        "MobilenetV1/Conv2d_5_pointwise/BatchNorm/gamma",
    )
    path = tmp_path / "v1.npz"
    cases = {
        "not TF-slim's MobilenetV1": {"weights": np.zeros(3)},
        "gamma is not among its 136": {k: v for k, v in arrays.items() if k != gamma},
        "1 tensor left over: global_step": {**arrays, "global_step": np.array(3)},
        r"depthwise_weights of shape \(3, 3, 8\)": {**arrays, depthwise: np.zeros((3, 3, 8))},
        r"expected \(8, 1, 3, 3\)": {**arrays, depthwise: np.zeros((3, 3, 9, 1))},
        "no width multiplier": {**arrays, "MobilenetV1/Conv2d_0/weights": np.zeros((3, 3, 3, 13))},
    }
    for said, content in cases.items():
        np.savez(path, **content)
        with pytest.raises(EdgenetError, match=said) as error:
            load_slim_v1(path)
        assert str(path) in error.value.found


def test_v1_refuses_files_that_are_not_arrays(tmp_path: Path) -> None:
    path = tmp_path / "v1.npz"
    np.savez(path, **slim_arrays(build("mobilenet_v1_0.25_64", classes=3)))
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:5000] + b"\x00\xff" * 50 + whole[5100:]):
        path.write_bytes(content)
        with pytest.raises(EdgenetError, match=r"cannot be read as an \.npz"):
            load_slim_v1(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(EdgenetError, match="single array"):
        load_slim_v1(tmp_path / "one.npy")
    np.savez(path, names=np.array([{"a": 1}], dtype=object))
    with pytest.raises(EdgenetError, match=r"cannot be read as an \.npz"):
        load_slim_v1(path)
    with pytest.raises(EdgenetError, match="there is no file"):
        load_slim_v1(tmp_path / "absent.npz")


def test_widths_are_inferred() -> None:
    for width in (1.0, 0.75, 0.5, 0.35, 0.25, 1.4, 1.3):
        assert infer_width(v2_plan(width), v2_plan) == width
    for width in (1.0, 0.75, 0.5, 0.25, 0.33, 0.9):
        assert infer_width(v1_plan(width), v1_plan) == width
    assert infer_width((1, 2, 3), v1_plan) is None
