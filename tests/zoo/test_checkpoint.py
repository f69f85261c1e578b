"""Checkpoints come back as they were saved, and damaged or foreign ones are refused."""

from __future__ import annotations

import dataclasses
import json
import resource
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import nn

from edgenet.errors import EdgenetError
from edgenet.zoo.checkpoint import METADATA_KEY, LoadedNetwork, load_checkpoint, save_checkpoint
from edgenet.zoo.classifier import TORCHVISION
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import build, parse_variant

LABELS = ("cat", "dog", "Ünïcode 犬")


def trained(name: str = "mobilenet_v2_0.35_96") -> LoadedNetwork:
    """A network that differs from a fresh one in every tensor and every option."""
    torch.manual_seed(5)
    network = build(name, 3, dropout=0.3, padding="symmetric", epsilon=1e-5, normalization=TORCHVISION)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            module.num_batches_tracked += 7
    return LoadedNetwork(network.eval(), parse_variant(name), LABELS, TORCHVISION, "a test", "CC0-1.0")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, trained())
    return path


def contents(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()[METADATA_KEY])
    return metadata, safetensors.torch.load_file(path)


def rewrite(path: Path, metadata: object, tensors: dict[str, torch.Tensor]) -> None:
    safetensors.torch.save_file(tensors, path, {METADATA_KEY: json.dumps(metadata)})


@torch.no_grad()
def test_comes_back_as_it_was(saved: Path) -> None:
    before, after = trained(), load_checkpoint(saved)
    assert dataclasses.replace(after, module=before.module) == before
    assert after.module.options == before.module.options
    assert not after.module.training
    for name, tensor in before.module.state_dict().items():
        assert torch.equal(after.module.state_dict()[name], tensor), name
    x = torch.randn(1, 3, 96, 96)
    assert torch.equal(after.module(x), before.module(x))
    assert all(parameter.requires_grad for parameter in after.module.parameters())


def test_same_network_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "again.safetensors", load_checkpoint(saved))
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_loaded_network_outlives_its_file(saved: Path) -> None:
    loaded = load_checkpoint(saved)
    before = loaded.module.classifier.weight.clone()
    saved.write_bytes(b"\0" * saved.stat().st_size)
    assert torch.equal(loaded.module.classifier.weight, before)


def test_failed_save_keeps_the_old_file(saved: Path) -> None:
    old = saved.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(EdgenetError):
            save_checkpoint(saved, trained("mobilenet_v1_0.25_96"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == old
    assert list(saved.parent.iterdir()) == [saved]


def change(metadata: dict[str, Any], **values: object) -> dict[str, Any]:
    return {**metadata, **values}


def test_foreign_metadata_is_refused(saved: Path) -> None:
    metadata, tensors = contents(saved)
    options = metadata["options"]
    cases = {
        "mobilenet_v1_0.35_96 with 3 classes: .* tensors missing": change(
            metadata, variant="mobilenet_v1_0.35_96"
        ),
        "mobilenet_v2_0.5_96 .* of another shape": change(metadata, variant="mobilenet_v2_0.5_96"),
        '"efficientnet_1.0_96" is not the name': change(metadata, variant="efficientnet_1.0_96"),
        "with 4 classes: 2 tensors of another shape": change(metadata, options={**options, "classes": 4}),
        "3 outputs and 2 labels": change(metadata, labels=["cat", "dog"]),
        "format 2, but this edgenet reads formats up to 1": change(metadata, format=2),
        "damaged metadata .*variant": {k: v for k, v in metadata.items() if k != "variant"},
        "damaged metadata .*padding": change(
            metadata, options={k: v for k, v in options.items() if k != "padding"}
        ),
        'padding is "valid"': change(metadata, options={**options, "padding": "valid"}),
        "damaged metadata .*not a JSON object": [1],
        "damaged metadata .*TypeError": change(metadata, options=3),
    }
    for said, changed in cases.items():
        rewrite(saved, changed, tensors)
        with pytest.raises(EdgenetError, match=said) as error:
            load_checkpoint(saved)
        assert str(saved) in error.value.found
        assert error.value.remedy


def test_other_tensors_are_refused(saved: Path) -> None:
    metadata, tensors = contents(saved)
    first = "features.0.conv.weight"
    cases = {
        f"1 tensor missing: {first}": {k: v for k, v in tensors.items() if k != first},
        "1 tensor left over: more": {**tensors, "more": torch.zeros(1)},
        r"1 tensor of another shape \(features.0.conv.weight|features.0.conv.weight is": {
            **tensors,
            first: torch.zeros(16, 3, 5, 5),
        },
        f"1 tensor not finite: {first}": {**tensors, first: tensors[first] * float("inf")},
    }
    for said, changed in cases.items():
        rewrite(saved, metadata, changed)
        with pytest.raises(EdgenetError, match=said):
            load_checkpoint(saved)


def test_damaged_files_are_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for content in (b"", b"text", whole[:-1], whole[: len(whole) // 2], whole + b"x"):
        saved.write_bytes(content)
        with pytest.raises(EdgenetError, match="not a complete safetensors file"):
            load_checkpoint(saved)
    safetensors.torch.save_file({"a": torch.zeros(1)}, saved)
    with pytest.raises(EdgenetError, match="without edgenet's metadata"):
        load_checkpoint(saved)
    for text in ("{", "[" * 100_000):
        safetensors.torch.save_file({"a": torch.zeros(1)}, saved, {METADATA_KEY: text})
        with pytest.raises(EdgenetError, match="damaged metadata"):
            load_checkpoint(saved)
    with pytest.raises(EdgenetError, match="there is no file"):
        load_checkpoint(saved.with_name("absent.safetensors"))


def test_labels_must_fit_when_saving() -> None:
    network = build("mobilenet_v1_0.25_64", classes=4)
    with pytest.raises(EdgenetError, match="4 outputs and 3 labels"):
        LoadedNetwork(network, parse_variant("mobilenet_v1_0.25_64"), LABELS, TORCHVISION, "", "")


def test_load_network_takes_files_and_names(
    saved: Path, official_v2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGENET_CACHE", str(official_v2.parent))
    assert load_network(str(saved)).labels == LABELS
    assert load_network(saved, resolution=128).variant.name == "mobilenet_v2_0.35_128"
    loaded = load_network("mobilenet_v2_1.0_224")
    assert (loaded.variant.name, loaded.labels[0]) == ("mobilenet_v2_1.0_224", "tench")
    assert load_network(official_v2).licence == loaded.licence


def test_load_network_takes_slim_arrays(shared_data: Path) -> None:
    assert load_network(shared_data / "mobilenet_v1_1.0_224_imagenet.npz").module.options.classes == 1001


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mobilenet_v1_0.4_160", "no pretrained weights for mobilenet_v1_0.4_160; .*mobilenet_v1_0.5_160"),
        ("mobilenet_v3_1.0_224", "is not the name of a variant; the nearest names are"),
        ("absent.safetensors", "there is no file absent.safetensors"),
        ("some/folder/model", "there is no file some/folder/model"),
    ],
)
def test_load_network_refuses_what_has_no_weights(source: str, said: str) -> None:
    with pytest.raises(EdgenetError, match=said):
        load_network(source)


def test_load_network_refuses_unknown_formats(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"x")
    with pytest.raises(EdgenetError, match=r"not in a known format of weights; .*\.safetensors"):
        load_network(tmp_path / "model.h5")
