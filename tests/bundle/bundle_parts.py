"""Facts for a small bundle, and a way to change its manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from edgenet.manifest import Accuracy, Facts, Quantization, Weights

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


def with_manifest(change: Callable[[dict[str, Any]], Any]) -> Change:
    """A change to the parsed manifest, which may be made in place."""

    def apply(members: dict[str, bytes]) -> dict[str, bytes]:
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        return {**members, "manifest.json": json.dumps(manifest).encode()}

    return apply
