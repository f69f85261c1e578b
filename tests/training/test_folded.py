"""Weights with folded batch normalization get its statistics, compute the same as before, and can be trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgenet.training.starting import give_statistics, is_folded
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.registry import build_with, parse_variant

NAME = "mobilenet_v1_0.25_64"


def folded() -> LoadedNetwork:
    torch.manual_seed(5)
    options = NetworkOptions(classes=3)
    module = build_with(NAME, options).eval()
    with torch.no_grad():
        for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.bias.normal_()
            norm.running_var.fill_(1 - norm.eps)
    return LoadedNetwork(module, parse_variant(NAME), ("a", "b", "c"), options.normalization, "", "")


def photos(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 64, 64, 3), np.uint8)


@torch.no_grad()
def test_results_stay_the_same_and_statistics_are_those_of_the_photos() -> None:
    loaded, pixels = folded(), photos(6)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    network = loaded.with_pixels()
    before = network(x)
    assert is_folded(loaded.module)
    give_statistics(loaded, pixels)
    assert not is_folded(loaded.module)
    torch.testing.assert_close(network(x), before, rtol=1e-4, atol=1e-5)
    first = loaded.module.features[0]
    inputs = first.conv(loaded.normalization(x))
    torch.testing.assert_close(first.norm.running_mean, inputs.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    variance = inputs.var((0, 2, 3), unbiased=False)
    torch.testing.assert_close(first.norm.running_var, variance, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_training_mode_computes_the_same_only_with_the_statistics() -> None:
    """In training mode the batch's own statistics normalize: with others the network would be another one."""
    pixels = photos(8)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    plain, given = folded(), folded()
    give_statistics(given, pixels)
    expected = given.with_pixels()(x)

    def error(loaded: LoadedNetwork) -> float:
        network = loaded.with_pixels()
        for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.train()
        return float((network(x) - expected).abs().max() / expected.abs().max())

    assert error(plain) > 0.1
    assert error(given) < 0.01


def test_trained_networks_are_not_folded() -> None:
    loaded = folded()
    loaded.module.features[0].norm.running_mean[0] = 0.1
    assert not is_folded(loaded.module)
    assert not is_folded(nn.Sequential(nn.ReLU()))
