"""The networks that the MobileNets paper compares with: their maps, and what their weights fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgenet.errors import EdgenetError
from edgenet.zoo.catalogue import labels_for
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.classic import alexnet_map_side
from edgenet.zoo.classifier import Branches
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import ARCHITECTURES, build, parse_variant

# Sides of the map wherever it changes, as the papers' tables give them.
MAPS = {
    "alexnet_1.0_227": [55, 27, 13, 6],
    "squeezenet_1.0_227": [111, 55, 27, 13],
    "googlenet_1.0_224": [112, 56, 28, 14, 7],
    "vgg16_1.0_224": [224, 112, 56, 28, 14, 7],
    "inception_v3_1.0_299": [149, 147, 73, 71, 35, 17, 8],
    "xception_1.0_299": [149, 147, 74, 37, 19, 10],
    "mobilenet_full_1.0_224": [112, 56, 28, 14, 7],
    "mobilenet_shallow_1.0_224": [112, 56, 28, 14, 7],
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_the_papers(name: str) -> None:
    variant = parse_variant(name)
    with torch.device("meta"):
        x, sides = torch.empty(1, 3, variant.resolution, variant.resolution), []
        for layer in build(variant, classes=2).features:
            x = layer(x)
            sides += [x.shape[2]] if not sides or sides[-1] != x.shape[2] else []
    assert sides == MAPS[name]


@pytest.mark.parametrize("resolution", [67, 96, 128, 227, 300])
def test_alexnets_matrix_reads_the_whole_map(resolution: int) -> None:
    with torch.device("meta"):
        network = build(f"alexnet_1.0_{resolution}", classes=4)
        assert network(torch.empty(1, 3, resolution, resolution)).shape == (1, 4)
    smallest = ARCHITECTURES["alexnet"].smallest
    assert alexnet_map_side(smallest) == 1
    assert alexnet_map_side(smallest - 1) < 1


def test_alexnet_has_two_groups_where_it_had_two_cards() -> None:
    with torch.device("meta"):
        network = build("alexnet_1.0_227")
    groups = [layer.groups for layer in network.features.modules() if isinstance(layer, nn.Conv2d)]
    assert groups == [1, 2, 1, 2, 2]


def test_modules_side_by_side() -> None:
    with torch.device("meta"):
        counts = {
            name: sum(isinstance(layer, Branches) for layer in build(name).modules())
            for name in ("squeezenet_1.0_227", "googlenet_1.0_224", "inception_v3_1.0_299")
        }
    assert counts == {"squeezenet_1.0_227": 8, "googlenet_1.0_224": 9, "inception_v3_1.0_299": 11 + 4}


def test_shallow_lacks_the_five_blocks_and_full_the_depthwise() -> None:
    with torch.device("meta"):
        full, shallow = build("mobilenet_full_1.0_224"), build("mobilenet_shallow_1.0_224")
    assert len(shallow.features) == len(full.features) - 5 == 9
    assert all(layer.groups == 1 for layer in full.modules() if isinstance(layer, nn.Conv2d))


def test_squeezenets_last_convolution_is_averaged_after_relu() -> None:
    network = build("squeezenet_1.0_35", classes=4).eval()
    x = torch.randn(2, 3, 35, 35)
    with torch.inference_mode():
        expected = network.classifier(network.features(x)).relu().mean((2, 3))
        torch.testing.assert_close(network(x), expected)
    assert (network.classifier.bias == 0).all()


@pytest.mark.parametrize("name", ["squeezenet_1.0_64", "alexnet_1.0_67"])
def test_weights_with_another_resolution(name: str, tmp_path: Path) -> None:
    variant, path = parse_variant(name), tmp_path / "network.safetensors"
    module = build(variant, classes=2).eval()
    save_checkpoint(
        path, LoadedNetwork(module, variant, labels_for(2), module.normalization, "random", "none")
    )
    assert load_network(path, variant.resolution).variant == variant
    if variant.architecture == "squeezenet":
        assert load_network(path, 96).variant.resolution == 96
        return
    with pytest.raises(EdgenetError, match="fit only 67 pixels"):
        load_network(path, 96)
