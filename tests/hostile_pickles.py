"""Nine files, called checkpoints or arrays, that would run a command if anything unpickled them."""

from __future__ import annotations

import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.command = f"touch {proof}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
HOSTILE: dict[str, Callable[[Path, Runs], None]] = {
    "whole.pth": lambda path, runs: torch.save(runs, path),
    "among.pt": lambda path, runs: torch.save({"w": runs, "features.0.0.weight": torch.zeros(1)}, path),
    "legacy.pth": lambda path, runs: torch.save(runs, path, _use_new_zipfile_serialization=False),
    "raw.pth": lambda path, runs: void(path.write_bytes(pickle.dumps(runs))),
    "raw.safetensors": lambda path, runs: void(path.write_bytes(pickle.dumps(runs))),
    "raw.npz": lambda path, runs: void(path.write_bytes(pickle.dumps(runs))),
    "tar.pth": lambda path, runs: tar_of(path, pickle.dumps(runs)),
    "object.npz": lambda path, runs: np.savez(
        path, **{"MobilenetV1/Conv2d_0/weights": np.array([runs], object)}
    ),
    "as the first.pth": lambda path, runs: void(
        path.write_bytes(pickle.dumps(LEGACY_MAGIC) + pickle.dumps(runs))
    ),
}


def void(_: object) -> None:
    """Drop a result."""


def tar_of(path: Path, data: bytes) -> None:
    source = path.with_suffix(".pickle")
    source.write_bytes(data)
    with tarfile.open(path, "w") as archive:
        archive.add(source, "pickle")
