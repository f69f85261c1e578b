"""Makes int8 files of untrained networks: their size and speed do not depend on the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from edgenet.data import PhotoSet
from edgenet.files import make_folder
from edgenet.progress import Progress
from edgenet.verbs.convert import convert
from edgenet.verbs.quantizing import Calibration
from edgenet.zoo.checkpoint import save_checkpoint
from edgenet.zoo.loaded import LoadedNetwork
from edgenet.zoo.registry import Variant, build

PHOTOS = 4


def untrained_int8(
    variant: Variant, labels: Sequence[str], photos: PhotoSet, folder: Path, progress: Progress
) -> Path:
    """Make the int8 file of a network with random weights, using the fastest recipe; reuse an existing file.

    Raises:
        EdgenetError: see `convert`.
    """
    make_folder(folder)
    model, checkpoint = folder / "untrained.tflite", folder / "untrained.safetensors"
    if model.is_file():
        return model
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build(variant, classes=len(labels)).eval()
    save_checkpoint(
        checkpoint,
        LoadedNetwork(module, variant, tuple(labels), module.normalization, "random weights", "Apache-2.0"),
    )
    convert(str(checkpoint), model, Calibration(photos, PHOTOS, "minmax"), progress=progress)
    checkpoint.unlink()
    return model
