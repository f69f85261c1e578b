"""Whole model files around a tiny network: with its labels appended, and as a bundle; and what the tests here share."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
SIZE = 32
LABELS = ("red", "green", "blue")


def with_labels(model: bytes, labels: tuple[str, ...] = LABELS) -> bytes:
    """The model with labels.txt in a stored zip behind it."""
    appended = io.BytesIO(model)
    appended.seek(0, io.SEEK_END)
    with zipfile.ZipFile(appended, "a") as archive:
        archive.writestr("labels.txt", "\n".join(labels) + "\n")
    return appended.getvalue()


def build_bundle(model: bytes, **changes: Any) -> bytes:
    """A bundle; `changes` replace entries of its manifest."""
    members = {
        "model.tflite": model,
        "labels.txt": "\n".join(LABELS).encode() + b"\n",
        "CARD.md": b"# tiny\n",
    }
    stated = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in members.items()
    }
    manifest = {"schema_version": 1, "members": stated, **changes}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            archive.writestr(name, data)
    return packed.getvalue()
