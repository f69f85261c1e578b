"""Checkpoints that edgenet did not write: any nesting, nothing unpickled, networks of timm and torchvision."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_pickles import HOSTILE, Runs
from other_makers import run_beside_makers
from safetensors.torch import save_file
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.workflows.source_options import SourceOptions
from edgenet.workflows.sources import open_source
from edgenet.zoo.classifier import SLIM, TORCHVISION, NetworkOptions
from edgenet.zoo.foreign_checkpoint import load_foreign
from edgenet.zoo.pickle_steps import follow
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import build_with

CLASSES = 4


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Return the tensors of one of our own networks, which are recognized like those of other libraries."""
    torch.manual_seed(0)
    return build_with("mobilenet_v1_0.25_32", NetworkOptions(CLASSES)).eval().state_dict()


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def zeros(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


SETTINGS = argparse.Namespace(lr=0.1, out=Path("runs"))
NESTED: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "args": SETTINGS, "best": {1, 2}},
    "model": lambda s: {
        "model": prefixed(s, "module."),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(9, 9)}}},
    },
    "model_state_dict": lambda s: {"model_state_dict": prefixed(s, "_orig_mod.")},
    "lightning": lambda s: {"state_dict": prefixed(s, "model.net."), "hyper_parameters": {"o": SETTINGS}},
    "deep": lambda s: {"checkpoint": {"best": {"ema": prefixed(s, "module.")}}},
    "average": lambda s: {"model": zeros(s), "model_ema": s},
    "teacher": lambda s: {
        "state_dict": prefixed(s, "student.") | prefixed({n: t * 0 for n, t in s.items()}, "teacher.")
    },
    "metrics": lambda s: {"state_dict": prefixed(s, "net.") | {"criterion.weight": torch.ones(CLASSES)}},
    "parameters": lambda s: {name: torch.nn.Parameter(t, False) for name, t in s.items()},
    "one storage": lambda s: one_storage(s),
}


def one_storage(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as parts of one run of numbers, with gaps and in another order of axes."""
    whole = torch.cat([torch.cat([t.flatten().float(), torch.zeros(3)]) for t in state.values()])
    parts, start = {}, 0
    for name, tensor in state.items():
        part = whole[start : start + tensor.numel()].view(tensor.shape)
        parts[name] = part.transpose(0, 1).contiguous().transpose(0, 1) if part.ndim == 4 else part
        start += tensor.numel() + 3
    return parts


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("zipped", [True, False])
def test_any_nesting_and_prefix(tmp_path: Path, state: dict[str, Tensor], name: str, zipped: bool) -> None:
    path = tmp_path / "net.ckpt"
    torch.save(NESTED[name](state), path, _use_new_zipfile_serialization=zipped)
    loaded = load_network(path)
    assert loaded.variant.name.startswith("mobilenet_v1_0.25_")
    for key, tensor in loaded.module.state_dict().items():
        torch.testing.assert_close(tensor, state[key].to(tensor.dtype))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_of_numbers(tmp_path: Path, state: dict[str, Tensor], kind: torch.dtype) -> None:
    other = {name: t.to(kind) if t.is_floating_point() else t for name, t in state.items()}
    torch.save(other, tmp_path / "net.pt")
    save_file(other, tmp_path / "net.safetensors")
    for suffix in ("pt", "safetensors"):
        for key, tensor in load_foreign(tmp_path / f"net.{suffix}").module.state_dict().items():
            torch.testing.assert_close(tensor, other[key].to(tensor.dtype))


def test_class_names_in_the_file(tmp_path: Path, state: dict[str, Tensor]) -> None:
    names = {"dog": 1, "cat": 0, "bird": 3, "cow": 2}
    torch.save({"state_dict": state, "class_to_idx": names}, tmp_path / "net.pth")
    assert load_foreign(tmp_path / "net.pth").labels == ("cat", "dog", "cow", "bird")


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_is_unpickled(tmp_path: Path, name: str) -> None:
    proof, path = tmp_path / "ran", tmp_path / name
    HOSTILE[name](path, Runs(proof))
    for read in (load_network, open_source):
        with pytest.raises(EdgenetError) as error:
            read(path)
        assert error.value.remedy
        assert "weights_only" not in str(error.value)
    assert not proof.exists()


def test_a_pickle_is_followed_as_data() -> None:
    data = {"a": [1, 2.5, None, True, b"x", "y"], "b": (1, (2, 3)), "c": {4}, 5: {"d": []}}
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        found, end = follow(pickle.dumps(data, protocol) + b"rest")
        assert end == len(pickle.dumps(data, protocol))
        assert found == {**data, "c": [4]} or found["c"].arguments == ([4],)
    shared: list[Any] = []
    for _ in range(60):  # as a tree, this has 2^60 leaves
        shared = [shared, shared]
    follow(pickle.dumps(shared))


@pytest.mark.slow
def test_refusals_name_what_is_wrong(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    missing = {name: t for name, t in state.items() if "features.2.depthwise" not in name}
    cases = {
        r"5 tensors are missing \(features\.2\.depthwise\.conv\.weight, .*, .* and 2 more\)": missing,
        r"1 tensor is left over \(extra\.weight\)": {**state, "extra.weight": torch.zeros(2, 2)},
        "has no head": {name: t for name, t in state.items() if not name.startswith("classifier")},
        "holds a dict with epoch, lr, not named tensors": {"epoch": 1, "lr": 0.1},
        r"holds several networks, with the prefixes a\., b\.": prefixed(state, "a.") | prefixed(state, "b."),
        "holds layers beside the network: after;": {
            **prefixed(state, "net."),
            "after.weight": torch.zeros(4, 4),
        },
        "whole object of the class torch.nn.modules.linear.Linear": torch.nn.Linear(2, 2),
        r"a network that edgenet does not know \(conv1\.weight\)": {"conv1.weight": torch.zeros(64, 3, 7, 7)},
    }
    for said, content in cases.items():
        torch.save(content, path)
        with pytest.raises(EdgenetError, match=said) as error:
            load_foreign(path)
        assert "torch.onnx.export(" in error.value.remedy or said == "has no head"


def test_tensors_that_are_not_in_the_file(tmp_path: Path, state: dict[str, Tensor]) -> None:
    """A tensor may claim any shape and offset; it gets none that its storage does not have."""
    path = tmp_path / "net.pth"
    torch.save({**state, "classifier.bias": state["classifier.bias"].expand(CLASSES)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-4000])
    with pytest.raises(EdgenetError, match="whose end is missing, not a checkpoint; download the file again"):
        load_foreign(path)
    torch.save({**state, "classifier.weight": torch.zeros(1).expand(1 << 14, 1 << 14)}, path)
    with pytest.raises(EdgenetError, match="does not hold all numbers of its tensors"):
        load_foreign(path)


def test_an_architecture_can_be_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "net.pth")
    assert load_foreign(tmp_path / "net.pth", "mobilenet_v1_0.25_96").variant.name == "mobilenet_v1_0.25_96"
    with pytest.raises(EdgenetError, match=r"there is no architecture 'mobile'; the nearest are: "):
        load_foreign(tmp_path / "net.pth", "mobile")
    with pytest.raises(EdgenetError, match=r"does not hold mobilenet_v2_1\.0_224 with 4 classes"):
        load_foreign(tmp_path / "net.pth", "mobilenet_v2_1.0_224")
    with pytest.raises(EdgenetError, match=r"says itself what its network is; leave out --architecture"):
        open_source("mobilenet_v2_1.0_224", SourceOptions(architecture="mobilenet_v2"))


READ = {
    "plain.pth": "mobilenet_v2_1.0",
    "replaced-head.pt": "mobilenet_v2_0.5",
    "v3-small-ddp.pth": "mobilenet_v3_small_1.0",
    "lightning.ckpt": "mobilenet_v3_large_1.0",
    "timm.pth.tar": "mobilenet_v3_small_0.75",
    "v4.safetensors": "mobilenet_v4_conv_small_1.0",
    "v1-compiled.pt": "mobilenet_v1_1.0",
    "own-head.ckpt": "mobilenet_v2_0.5",
    "lite0-half.pth": "efficientnet_lite0_1.0",
    "minimal.pth": "mobilenet_v3_small_minimalistic_1.0",
    "small-050.pth": "mobilenet_v3_small_0.5",
    "script.pt": "mobilenet_v3_small_1.0",
    "exported.pt2": "mobilenet_v2_1.0",
    "legacy.pth": "mobilenet_v2_1.0",
}
REFUSED = {
    "whole.pt": r"whole object of the class torchvision\.models\.mobilenetv3\.MobileNetV3.*torch\.onnx\.export\(",
    "no-head.pth": "has no head",
    "large-head.pth": r"a head of 2 layers \(classifier, classifier\.4\) where 1 are usual",
    "resnet.pth": "a network that edgenet does not know",
    "one-missing.pth": r"1 tensor is missing \(blocks\.2\.1\.bn2\.bias\)",
}

MODULES = (
    *(
        "timm:mobilenetv1_100",
        "timm:mobilenetv2_100",
        "timm:tf_mobilenetv3_small_100",
        "timm:mobilenetv4_conv_small",
    ),
    *("timm:tf_efficientnet_lite0", "torchvision:mobilenet_v2", "torchvision:mobilenet_v3_small"),
    "torchvision:mnasnet0_5",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with checkpoints of timm's and torchvision's own networks, their logits, and what was read."""
    folder = tmp_path_factory.mktemp("foreign")
    script = Path(__file__).with_name("foreign_checkpoints.py")
    run_beside_makers(script, folder, *READ, *REFUSED, "binary.pth", *MODULES)
    return folder


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", READ)
def test_networks_of_timm_and_torchvision(written: Path, name: str) -> None:
    loaded = load_foreign(written / name)
    assert loaded.variant.name.rpartition("_")[0] == READ[name]
    wanted = np.load(written / f"{name}.npy")
    given = loaded.module(torch.from_numpy(np.load(written / "picture.npy"))).numpy()
    np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.slow
def test_modules_of_timm_and_torchvision(written: Path) -> None:
    """A module is given from Python, beside its library; its graph computes what it computes."""
    differences = json.loads((written / "differences.json").read_text())
    assert differences.keys() == set(MODULES)
    assert max(differences.values()) < 1e-4, differences


@pytest.mark.slow
@torch.no_grad()
def test_one_logit_is_two_classes(written: Path) -> None:
    loaded = load_foreign(written / "binary.pth")
    scores = loaded.module(torch.from_numpy(np.load(written / "picture.npy"))).softmax(1)
    wanted = torch.from_numpy(np.load(written / "binary.pth.npy")).sigmoid()
    torch.testing.assert_close(scores[:, 1:], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(written: Path, name: str) -> None:
    with pytest.raises(EdgenetError, match=REFUSED[name]):
        load_foreign(written / name)


@pytest.mark.slow
def test_what_the_tensors_do_not_say(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((written / "v4.safetensors").read_bytes())
    opened = open_source(path)
    assert "the normalization imagenet and" in opened.warnings[0]
    assert open_source(path, SourceOptions(normalization="-1..1")).warnings == ()
    config = {
        "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        "label_names": list("abcdefg"),
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_network(path)
    assert (loaded.normalization, loaded.labels, loaded.assumed) == (SLIM, tuple("abcdefg"), ())
    small = load_foreign(written / "small-050.pth")
    assert (small.module.options.padding, small.normalization, len(small.assumed)) == (
        "symmetric",
        TORCHVISION,
        2,
    )
    named = load_foreign(written / "small-050.pth", "tf_mobilenetv3_small_075")
    assert (named.module.options.padding, named.module.options.epsilon, named.normalization) == (
        "same",
        1e-3,
        SLIM,
    )
