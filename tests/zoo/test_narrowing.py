"""A width without weights gets the channels of a wider network that have the largest norm, in every architecture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgenet.errors import EdgenetError
from edgenet.zoo import pretrained
from edgenet.zoo.catalogue import PretrainedWeights, labels_for
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.pretrained import load_start, narrowed, starting_weights
from edgenet.zoo.registry import build_with, parse_variant


def network(name: str, **options: object) -> LoadedNetwork:
    """A network with random weights and statistics."""
    settings = NetworkOptions(classes=5, **options)
    torch.manual_seed(7)
    module = build_with(name, settings).eval()
    with torch.no_grad():
        for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 1.5)
    return LoadedNetwork(module, parse_variant(name), labels_for(5), settings.normalization, "test", "none")


NAMES = [
    ("mobilenet_v1_0.5_64", "mobilenet_v1_0.25_64"),
    ("mobilenet_v2_0.5_64", "mobilenet_v2_0.35_64"),
    ("mobilenet_v3_small_0.5_64", "mobilenet_v3_small_0.35_64"),
    ("mobilenet_v3_small_minimalistic_0.75_64", "mobilenet_v3_small_minimalistic_0.6_64"),
    ("mobilenet_v4_conv_small_0.5_64", "mobilenet_v4_conv_small_0.3_64"),
    ("mobilenet_v4_conv_medium_0.35_64", "mobilenet_v4_conv_medium_0.25_64"),
]


@torch.no_grad()
@pytest.mark.parametrize(("wide", "narrow"), NAMES)
def test_kept_channels_compute_what_they_did_if_the_others_are_silent(wide: str, narrow: str) -> None:
    """With the weights of all other channels zero, the wide network is the narrow one, and its logits are equal."""
    loaded, variant = network(wide), parse_variant(narrow)
    silence_all_but(loaded.module, build_with(narrow, NetworkOptions(classes=5)))
    result = narrowed(loaded, variant)
    assert result.variant == variant
    x = torch.randn(2, 3, 64, 64)
    expected = loaded.module(x)
    assert expected.std() > 1e-4
    torch.testing.assert_close(result.module(x), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert result.origin.startswith("test, of its width ")


def silence_all_but(wide: nn.Module, narrow: nn.Module) -> None:
    """Make as many output channels of each convolution as the narrow one lacks yield zero: the last ones."""
    sizes = {name: m.out_channels for name, m in narrow.named_modules() if isinstance(m, nn.Conv2d)}
    modules = dict(wide.named_modules())
    for name, kept in sizes.items():
        if name.endswith("squeeze.expand"):
            continue  # it gates channels that are silent already
        modules[name].weight[kept:] = 0
        if modules[name].bias is not None:
            modules[name].bias[kept:] = 0
        norm = modules.get(f"{name.removesuffix('conv')}norm") if name.endswith(".conv") else None
        if norm is not None:
            for values in (norm.weight, norm.bias, norm.running_mean):
                values[kept:] = 0


@torch.no_grad()
def test_channels_with_the_largest_norm_stay_in_their_order() -> None:
    loaded = network("mobilenet_v1_0.5_64")
    first = loaded.module.features[0]
    first.conv.weight.fill_(0.01)
    first.norm.weight.fill_(1)
    first.norm.running_var.fill_(1)
    kept = [1, 2, 5, 8, 9, 12, 14, 15]
    first.norm.weight[kept] = -3  # the sign does not matter
    first.norm.bias.copy_(torch.arange(16))
    result = narrowed(loaded, parse_variant("mobilenet_v1_0.25_64"))
    assert result.module.features[0].norm.bias.tolist() == kept


@torch.no_grad()
def test_residual_channels_are_judged_by_all_that_add_to_them() -> None:
    loaded = network("mobilenet_v2_1.0_64")
    blocks = loaded.module.features
    assert [index for index, b in enumerate(blocks) if getattr(b, "residual", False)][:2] == [3, 5]
    for index in (2, 3):
        blocks[index].layers.project.norm.weight.fill_(0.001)
        blocks[index].layers.project.norm.running_var.fill_(1)
    blocks[3].layers.project.norm.weight[20:] = 5  # only the later block makes these channels large
    result = narrowed(loaded, parse_variant("mobilenet_v2_0.35_64"))
    kept = result.module.features[2].layers.project.norm.bias
    everything = blocks[2].layers.project.norm.bias
    assert len(kept) == 8
    assert set(everything[20:].tolist()) <= set(kept.tolist())


def test_fixed_stem_becomes_narrow_too() -> None:
    loaded = network("mobilenet_v3_small_0.5_64", fixed_stem=True)
    result = narrowed(loaded, parse_variant("mobilenet_v3_small_0.35_64"))
    assert not result.module.options.fixed_stem
    assert result.module.features[0].conv.out_channels == 8


def test_start_is_its_own_width_or_the_nearest_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(entry: PretrainedWeights, progress: object = None) -> LoadedNetwork:
        asked.append(entry.name)
        return network(entry.variant)

    monkeypatch.setattr(pretrained, "load_pretrained", load)
    own = load_start(parse_variant("mobilenet_v1_0.25_96"))
    assert (own.variant.name, own.origin) == ("mobilenet_v1_0.25_96", "test")
    narrow = load_start(parse_variant("mobilenet_v1_0.3_96"))
    assert narrow.variant.name == "mobilenet_v1_0.3_96"
    assert narrow.origin == "test, of its width 0.5 the channels with the largest norm"
    assert asked == ["mobilenet_v1_0.25_224:slim-mediapipe", "mobilenet_v1_0.5_224:slim"]
    assert starting_weights(parse_variant("mobilenet_v1_1.3_224")) is None
    with pytest.raises(
        EdgenetError, match=r"no ImageNet weights for mobilenet_v1 of width 1.3 or wider; choose"
    ):
        load_start(parse_variant("mobilenet_v1_1.3_224"))
