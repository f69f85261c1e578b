"""Targets that read weights and arrays: .safetensors, .pth, .npz, and kept features."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.fuzz.mutations import BINARY, Mutation, json_changed, members_changed, words_put_in, zip_changed
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target


@cache
def safetensors_seeds() -> dict[str, bytes]:
    """Return a checkpoint of edgenet."""
    from small_network import small_network

    from edgenet.zoo.checkpoint import save_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        save_checkpoint(path, small_network(width=0.01, resolution=32))
        return {"checkpoint": path.read_bytes()}


def weights(suffix: str) -> Callable[[Path], Check]:
    """Return a setup that reads files of weights with this ending, as `convert` and `train --pretrained` do."""

    def setup(folder: Path) -> Check:
        from edgenet.zoo.readers import load_network

        path = folder / f"net{suffix}"

        def check(data: bytes) -> None:
            path.write_bytes(data)
            load_network(str(path), None)

        return check

    return setup


def header_changed(data: bytes, rng: random.Random) -> bytes:
    """Change the JSON header of a .safetensors file, or the JSON text within it that is edgenet's metadata."""
    if len(data) < 8:
        return rng.choice(BINARY)(data, rng)
    size = min(struct.unpack_from("<Q", data)[0], len(data) - 8)
    header, rest = data[8 : 8 + size], data[8 + size :]
    if rng.random() < 0.6:
        try:
            value = json.loads(header)
            key = rng.choice(sorted(value["__metadata__"]))
            value["__metadata__"][key] = json_changed(value["__metadata__"][key].encode(), rng).decode(
                "utf-8", "replace"
            )
            changed = json.dumps(value).encode()
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            changed = json_changed(header, rng)
    else:
        changed = json_changed(header, rng)
    return struct.pack("<Q", len(changed)) + changed + rest


class Runs:
    """A pickle of this would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch hacked",)


@cache
def pickle_seeds() -> dict[str, bytes]:
    """Return state dicts in torch's three formats, and pickles that would run something."""
    module = _small_torchvision()
    found = {
        "zip": _saved(module),
        "pickle": pickle.dumps(Runs()),
        "hostile": _saved({"a": torch.zeros(1), "b": Runs()}),
    }
    found["legacy"] = _saved({"classifier.1.weight": torch.zeros(2, 3)}, _use_new_zipfile_serialization=False)
    found["whole"] = _saved(torch.nn.Linear(2, 2))
    return found


def _small_torchvision() -> dict[str, torch.Tensor]:
    """Return a state dict as torchvision's mobilenet_v2 has it, with few channels."""
    from edgenet.zoo.registry import Variant, build

    ours = build(Variant("mobilenet_v2", 0.1, 32), classes=2).state_dict()
    return {_torchvisions_name(name): value for name, value in ours.items()}


def _torchvisions_name(ours: str) -> str:
    """Return torchvision's name of a tensor: its convolutions with batch normalization have numbers for names."""
    if ours.startswith("classifier"):
        return ours.replace("classifier", "classifier.1")
    _, number, *part, kind, end = ours.split(".")
    second = {"conv": "0", "norm": "1"}[kind]
    if not part:
        return f"features.{number}.{second}.{end}"
    place = {"expand": 0, "depthwise": 1, "project": 2}[part[1]] - (number == "1")
    if part[1] == "project":  # it is not grouped with its batch normalization
        return f"features.{number}.conv.{place + int(second)}.{end}"
    return f"features.{number}.conv.{place}.{second}.{end}"


def _saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


@cache
def npz_seeds() -> dict[str, bytes]:
    """Return TF-slim's variables of a network with few channels, and a single array."""
    from edgenet.zoo.mobilenet_v1 import channel_plan
    from edgenet.zoo.readers import _slim_variables
    from edgenet.zoo.registry import Variant, build

    ours = build(Variant("mobilenet_v1", 0.01, 32), classes=2).state_dict()
    assert channel_plan(0.01)
    arrays = {}
    for theirs, name in _slim_variables().items():
        value = ours[name].numpy()
        if theirs.endswith("/Conv2d_1c_1x1/weights"):
            value = value[:, :, None, None]
        if theirs.endswith("weights"):
            value = value.transpose((2, 3, 0, 1) if theirs.endswith("depthwise_weights") else (2, 3, 1, 0))
        arrays[theirs] = value
    buffer, single = io.BytesIO(), io.BytesIO()
    np.savez(buffer, **arrays)
    np.save(single, np.zeros(3))
    return {"slim": buffer.getvalue(), "single": single.getvalue()}


def _npy_changed(data: bytes, rng: random.Random) -> bytes:
    """Change an array's own header, which is a Python literal."""
    end = data.find(b"\n") + 1
    if rng.random() < 0.7 and 0 < end < 300:
        head = words_put_in(data[10:end], rng)
        return data[:8] + struct.pack("<H", len(head) % 65536) + head + data[end:]
    return rng.choice(BINARY)(data, rng)


@cache
def feature_seeds() -> dict[str, bytes]:
    """Return features of two photos as the cache keeps them."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        contents=np.zeros((2, 32), np.uint8),
        values=np.ones((2, 5), np.float32),
        thumbnails=np.zeros((2, 8, 8, 3), np.uint8),
    )
    return {"two": buffer.getvalue()}


def features(folder: Path) -> Check:
    """Read a file of the cache of features; a damaged one is passed over."""
    from edgenet.teaching.features import _Cache

    def check(data: bytes) -> None:
        (folder / "kept.npz").write_bytes(data)
        known = _Cache(folder).load()
        assert all(value.dtype == np.float32 and small.dtype == np.uint8 for value, small in known.values())

    return check


_NPZ: tuple[Mutation, ...] = (
    *BINARY,
    zip_changed,
    members_changed(_npy_changed),
    members_changed(_npy_changed),
)
_PTH: tuple[Mutation, ...] = (*BINARY, zip_changed, *(members_changed(one) for one in BINARY))

_FOREIGN = tuple(
    f"edgenet.zoo.{name}" for name in ("readers", "foreign_checkpoint", "state_dicts", "torch_file")
)

TARGETS = (
    Target(
        "safetensors",
        ".safetensors",
        ("edgenet.zoo.checkpoint",),
        safetensors_seeds,
        (*BINARY, *[header_changed] * 4),
        weights(".safetensors"),
    ),
    Target("pth", ".pth", _FOREIGN, pickle_seeds, _PTH, weights(".pth")),
    Target("npz", ".npz", ("edgenet.files", "edgenet.zoo.readers"), npz_seeds, _NPZ, weights(".npz")),
    Target(
        "features",
        "kept features of photos",
        ("edgenet.files", "edgenet.teaching.features"),
        feature_seeds,
        _NPZ,
        features,
    ),
)
