"""Variant names, the networks behind them, normalization and labels."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest
import torch

from edgenet.errors import EdgenetError
from edgenet.zoo.catalogue import imagenet_labels, labels_for
from edgenet.zoo.classifier import CENTRED, SLIM, TORCHVISION, NetworkOptions, Normalization, PixelNetwork
from edgenet.zoo.mobilenet_v2 import InvertedResidual, make_divisible
from edgenet.zoo.registry import ARCHITECTURES, Variant, build, catalogue, parse_variant


def test_names_go_there_and_back() -> None:
    assert parse_variant("mobilenet_v1_0.5_160") == Variant("mobilenet_v1", 0.5, 160)
    assert all(parse_variant(variant.name) == variant for variant in catalogue())
    assert parse_variant(" MobileNet_v2_1_224").name == "mobilenet_v2_1.0_224"
    assert parse_variant("mobilenet_v1_0.33_201").name == "mobilenet_v1_0.33_201"


def test_catalogue_is_what_the_papers_published() -> None:
    names = [variant.name for variant in catalogue()]
    grids = [name for name in names if name.startswith(("mobilenet_v1_", "mobilenet_v2_"))]
    assert len(names) == len(set(names))
    assert len(grids) == 4 * 4 + 5 * 5 + 1  # V2 of width 1.3 has one resolution
    assert {"mobilenet_v1_0.25_128", "mobilenet_v2_1.4_96", "vgg16_1.0_224", "alexnet_1.0_227"} <= set(names)
    assert {variant.architecture for variant in catalogue()} == set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mobilenet_v1_0.5_16O", "mobilenet_v1_0.5_160"),
        ("mobilnet_v2_1.0_224", "mobilenet_v2_1.0_224"),
        ("mobilenet_v9_1.0_224", "mobilenet_v"),
        ("", "edgenet models"),
        ("resnet50", "ARCHITECTURE_WIDTH_RESOLUTION"),
    ],
)
def test_unknown_name_lists_the_nearest(name: str, said: str) -> None:
    with pytest.raises(EdgenetError, match="is not the name of a variant") as error:
        parse_variant(name)
    assert said in error.value.remedy


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mobilenet_v1_0_224", "width"),
        ("mobilenet_v1_100_224", "width"),
        ("mobilenet_v1_1.0_31", "resolution"),
        ("mobilenet_v1_1.0_99999", "resolution"),
        ("mobilenet_v3_small_minimalistic_1.0_31", "resolution"),
        ("inception_v3_1.0_74", "resolution"),
        ("alexnet_1.0_66", "resolution"),
        ("vgg16_0.5_224", "has no width multiplier"),
        ("xception_2_299", "has no width multiplier"),
    ],
)
def test_widths_and_resolutions_out_of_range_are_refused(name: str, said: str) -> None:
    with pytest.raises(EdgenetError, match=said):
        parse_variant(name)


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(EdgenetError, match="mobilenet_v1, mobilenet_v2"):
        Variant("resnet", 1.0, 224)


SMALLEST = [
    f"{name}_{width}_{architecture.smallest}"
    for name, architecture in ARCHITECTURES.items()
    for width in ((0.1, 1.0) if architecture.scales else (1.0,))
    if name not in ("alexnet", "vgg16")  # hundreds of megabytes; see test_compared_networks
]


@pytest.mark.parametrize("name", [*SMALLEST, "mobilenet_v1_0.01_32", "mobilenet_v1_0.37_45"])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_any_width_runs_from_the_smallest_resolution(name: str, padding: str) -> None:
    variant = parse_variant(name)
    network = build(variant, classes=7, padding=padding).eval()  # type: ignore[arg-type]
    photos = torch.randn(2, 3, variant.resolution, variant.resolution)
    with torch.inference_mode():
        assert network(photos).shape == (2, 7)


def test_v1_rounds_channels_as_slim_does() -> None:
    network = build("mobilenet_v1_0.3_64")
    assert network.features[0].conv.out_channels == 9
    assert network.features[-1].pointwise.conv.out_channels == 307
    assert build("mobilenet_v1_0.1_64").features[0].conv.out_channels == 8


def test_v2_rounds_channels_to_eights() -> None:
    assert [make_divisible(c) for c in (3, 11.2, 12, 18, 44.8, 33.6, 22.4)] == [8, 16, 16, 24, 48, 32, 24]
    network = build("mobilenet_v2_0.35_96")
    assert network.classifier.in_features == 1280
    assert build("mobilenet_v2_1.4_96").classifier.in_features == 1792
    assert sum(m.residual for m in network.modules() if isinstance(m, InvertedResidual)) == 10


def test_options_reach_the_network() -> None:
    network = build("mobilenet_v1_0.25_64", classes=3, dropout=0.4, epsilon=1e-5, normalization=SLIM)
    assert network.dropout.p == 0.4
    assert network.features[0].norm.eps == 1e-5
    assert network.normalization == SLIM
    assert build("mobilenet_v2_0.35_64").dropout.p == 0.2


@pytest.mark.parametrize("values", [{"classes": 1}, {"dropout": 1.0}, {"padding": "valid"}, {"epsilon": 0.0}])
def test_options_out_of_range_are_refused(values: dict) -> None:
    with pytest.raises(EdgenetError):
        NetworkOptions(**values)


def test_normalizations() -> None:
    pixels = torch.tensor([0.0, 127.0, 127.5, 255.0]).reshape(1, 1, 1, 4).expand(1, 3, 1, 4)
    assert CENTRED(pixels)[0, 0, 0, 1].item() == 0.0
    assert SLIM(pixels)[0, 1, 0].tolist() == [-1.0, pytest.approx(-0.5 / 127.5), 0.0, 1.0]
    blue = (torch.tensor([0.0, 127.0, 127.5, 255.0]) / 255 - 0.406) / 0.225
    torch.testing.assert_close(TORCHVISION(pixels)[0, 2, 0], blue)


@pytest.mark.parametrize("std", [(1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (float("nan"), 1.0, 1.0)])
def test_normalization_refuses_what_cannot_divide(std: tuple[float, float, float]) -> None:
    with pytest.raises(EdgenetError, match="std"):
        Normalization((0.0, 0.0, 0.0), std)


def test_pixel_network_normalizes_first() -> None:
    network = build("mobilenet_v1_0.25_64", classes=4).eval()
    pixels = torch.randint(0, 256, (1, 3, 64, 64)).float()
    torch.testing.assert_close(PixelNetwork(network, TORCHVISION)(pixels), network(TORCHVISION(pixels)))


def test_imagenet_labels() -> None:
    names = imagenet_labels()
    assert len(names) == 1000
    assert (names[0], names[207], names[999]) == ("tench", "golden retriever", "toilet tissue")
    assert imagenet_labels(background=True) == ("background", *names)
    assert labels_for(1001)[0] == "background"
    assert labels_for(2) == ("class 0", "class 1")


def test_labels_are_those_of_the_photos(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "imagenet-sample-500.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith("labels.csv"))
        rows = list(csv.DictReader(io.StringIO(archive.read(name).decode())))
    names = imagenet_labels()
    same = sum(names[int(row["class_index"])] == row["name"].replace("_", " ") for row in rows)
    assert same >= 0.99 * len(rows)
