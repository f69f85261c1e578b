"""A small bundle with every fact filled in, and ways to rebuild it wrongly."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_model import tiny_model

from edgenet.files import stored_zip
from edgenet.package import Accuracy, Facts, Quantization, Weights, write_bundle

LABELS = ["red", "green", "blue"]

FACTS = Facts(
    name="mobilenet_v1_0.25_8",
    weights=Weights(origin="made for a test", licence="Apache-2.0", sha256="ab" * 32),
    architecture="mobilenet_v1",
    width=0.25,
    resolution=8,
    quantization=Quantization("default", ("ranges", "bias correction"), "cd" * 32, 100),
    accuracy=Accuracy(float_top1=92.8, int8_top1=92.5, n=1000, data="ImageNet sample"),
)

Change = Callable[[dict[str, bytes]], dict[str, bytes]]


@pytest.fixture(scope="session")
def model() -> bytes:
    return tiny_model()


@pytest.fixture
def bundle(tmp_path: Path, model: bytes) -> Path:
    path = tmp_path / "good.edgenet"
    write_bundle(path, model, LABELS, FACTS)
    return path


@pytest.fixture
def rebuilt(bundle: Path) -> Callable[[Change], Path]:
    """A function that makes a well-formed zip of the bundle's members after a change to them."""

    def rebuild(change: Change) -> Path:
        with zipfile.ZipFile(bundle) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        path = bundle.with_name("changed.edgenet")
        path.write_bytes(stored_zip(change(members)))
        return path

    return rebuild


def with_manifest(change: Callable[[dict[str, Any]], Any]) -> Change:
    """A change to the parsed manifest, which may be made in place."""

    def apply(members: dict[str, bytes]) -> dict[str, bytes]:
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        return {**members, "manifest.json": json.dumps(manifest).encode()}

    return apply
