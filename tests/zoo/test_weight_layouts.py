"""timm's and torchvision's state dicts are recognized, and give the logits of their own networks.

The logits in peer_networks.json.gz come from those networks themselves, filled with the same values; `python -m
benchmarks.pretrained --record` makes the file. The test of Keras' networks is in test_keras_weights.py.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.peers.pretrained.filling import filled, picture
from edgenet.errors import EdgenetError
from edgenet.zoo.checkpoint import load_tensors, options_from
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.layouts import LayoutMatch, find_library, read_layout, recognize
from edgenet.zoo.registry import build, build_with

PEERS = json.loads(gzip.decompress(Path(__file__).with_name("peer_networks.json.gz").read_bytes()))
EXPECTED = {
    "timm:mobilenetv1_100": "mobilenet_v1_1.0_224",
    "timm:mobilenetv2_050": "mobilenet_v2_0.5_224",
    "timm:mobilenetv3_small_050": "mobilenet_v3_small_0.5_224",
    "timm:tf_mobilenetv3_large_075": "mobilenet_v3_large_0.75_224",
    "timm:tf_mobilenetv3_small_minimal_100": "mobilenet_v3_small_minimalistic_1.0_224",
    "timm:mobilenetv4_conv_small_050": "mobilenet_v4_conv_small_0.5_224",
    "timm:tf_efficientnet_lite0": "efficientnet_lite0_1.0_224",
    "torchvision:mobilenet_v2": "mobilenet_v2_1.0_224",
    "torchvision:mobilenet_v3_small": "mobilenet_v3_small_1.0_224",
}


def state_of(peer: dict[str, Any]) -> dict[str, Tensor]:
    """Return the peer's state dict, sorted by name as in a .safetensors file."""
    return {
        name: torch.from_numpy(filled(name, tuple(shape))) if shape else torch.tensor(0)
        for name, shape in sorted(peer["tensors"])
    }


def matched(state: dict[str, Tensor]) -> LayoutMatch:
    match = read_layout(state)
    assert match is not None
    return match


@torch.no_grad()
@pytest.mark.parametrize("peer", [p for p in PEERS if p["network"] in EXPECTED], ids=lambda p: p["network"])
def test_logits_are_those_of_the_librarys_own_network(peer: dict[str, Any]) -> None:
    match = matched(state_of(peer))
    assert match.variant.name == EXPECTED[peer["network"]]
    assert match.library == peer["network"].partition(":")[0]
    assert match.options.fixed_stem == peer["network"].endswith("small_050")
    options = match.options
    if ":tf_" in peer["network"]:
        options = replace(options, padding="same", epsilon=1e-3)
    network = load_tensors(match.variant, options, match.tensors, peer["network"])
    logits, expected = network(torch.from_numpy(picture(peer["side"])))[0], torch.tensor(peer["logits"])
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_every_recorded_network_is_tested() -> None:
    assert {p["network"] for p in PEERS if not p["network"].startswith("keras:")} == set(EXPECTED)


def test_padding_matters() -> None:
    """With symmetric padding, weights that were trained with TensorFlow's give other logits."""
    peer = next(p for p in PEERS if p["network"] == "timm:tf_efficientnet_lite0")
    match = matched(state_of(peer))
    network = load_tensors(match.variant, replace(match.options, epsilon=1e-3), match.tensors, "lite0")
    with torch.no_grad():
        logits = network(torch.from_numpy(picture(peer["side"])))[0]
    expected = torch.tensor(peer["logits"])
    assert (logits - expected).abs().max() > 0.01 * expected.abs().max()


def test_unknown_state_dicts_are_not_recognized() -> None:
    peer = next(p for p in PEERS if p["network"] == "timm:mobilenetv2_050")
    state = state_of(peer)
    assert read_layout({"conv1.weight": torch.zeros(64, 3, 7, 7)}) is None
    assert find_library({}) is None
    lacking = {name: tensor for name, tensor in state.items() if name != "blocks.3.0.bn2.weight"}
    assert read_layout(lacking) is None
    assert read_layout({**state, "blocks.3.0.se.conv_reduce.weight": torch.zeros(8, 96, 1, 1)}) is None
    assert read_layout({**state, "conv_head.weight": torch.zeros(1300, 160, 1, 1)}) is None
    assert read_layout({name: t for name, t in state.items() if not name.startswith("classifier")}) is None


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1_0.33_224",
        "mobilenet_v2_0.6_224",
        "mobilenet_v3_large_1.2_224",
        "efficientnet_lite3_1.0_280",
    ],
)
def test_our_own_networks_are_recognized_at_any_width(name: str) -> None:
    with torch.device("meta"):
        tensors = build(name, classes=3).state_dict()
    found = recognize(tensors)
    assert found is not None
    assert (found[0].name, found[1]) == (name, False)


def test_fixed_stem_keeps_the_stems_channels() -> None:
    options = NetworkOptions(classes=3, fixed_stem=True)
    for name, stem in (("mobilenet_v3_small_0.5_224", 16), ("mobilenet_v4_conv_small_0.5_224", 32)):
        with torch.device("meta"):
            assert build_with(name, options).features[0].conv.out_channels == stem
            assert build(name, classes=3).features[0].conv.out_channels == stem // 2


def test_options_of_older_checkpoints_have_no_fixed_stem() -> None:
    values = {
        "classes": 3,
        "dropout": None,
        "padding": "same",
        "epsilon": 1e-3,
        "normalization": {"mean": [127, 127, 127], "std": [127.5, 127.5, 127.5]},
    }
    assert not options_from(values).fixed_stem
    assert options_from({**values, "fixed_stem": True}).fixed_stem


def test_left_over_and_missing_tensors_are_named() -> None:
    match = matched(state_of(next(p for p in PEERS if p["network"] == "torchvision:mobilenet_v2")))
    tensors = {**match.tensors, "aux.weight": torch.zeros(1)}
    with pytest.raises(EdgenetError, match=r"1 tensor left over: aux.weight"):
        load_tensors(match.variant, match.options, tensors, "net.pth")
