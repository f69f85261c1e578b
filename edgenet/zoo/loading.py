"""Loads a network with its weights, given a variant's name or a file of any supported format."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.zoo.architectures import ARCHITECTURES
from edgenet.zoo.checkpoint import load_checkpoint
from edgenet.zoo.loaded import LoadedNetwork
from edgenet.zoo.registry import Variant, parse_variant
from edgenet.zoo.slim_v1 import load_slim_v1
from edgenet.zoo.torchvision_v2 import load_torchvision_v2
from edgenet.zoo.weights import PRETRAINED, Progress, find_weights

FORMATS = (
    ".safetensors (edgenet's checkpoint), .npz (TF-slim's MobilenetV1), .pth (torchvision's mobilenet_v2)"
)


def load_network(
    source: str | Path, resolution: int | None = None, progress: Progress | None = None
) -> LoadedNetwork:
    """Return a network with its weights, in evaluation mode.

    Args:
        source: a variant's name, for its ImageNet weights, or the path of a file in one of `FORMATS`.
        resolution: the resolution to use instead of the one the weights were trained at. Weights fit any resolution,
            except those of AlexNet and VGG16.
        progress: called while weights are downloaded.

    Raises:
        EdgenetError: there is no such variant or file, no weights for the variant, or the file does not fit.
    """
    loaded = _load(source, progress)
    if resolution is None or resolution == loaded.variant.resolution:
        return loaded
    variant = Variant(loaded.variant.architecture, loaded.variant.width, resolution)
    if ARCHITECTURES[variant.architecture].one_resolution:
        raise EdgenetError(
            f"the weights of {loaded.variant.name} fit only {loaded.variant.resolution} pixels: its first fully"
            " connected layer reads the whole map",
            f"leave out --resolution, or train {variant.name}",
        )
    return dataclasses.replace(loaded, variant=variant)


def _load(source: str | Path, progress: Progress | None) -> LoadedNetwork:
    path = Path(source)
    match path.suffix.lower():
        case ".safetensors":
            return load_checkpoint(path)
        case ".npz":
            return load_slim_v1(path)
        case ".pth" | ".pt":
            return load_torchvision_v2(path)
    if path.exists():
        raise EdgenetError(f"{path} is not in a known format of weights", f"the known formats are: {FORMATS}")
    if os.path.sep in str(source):
        raise EdgenetError(f"there is no file {path}", "check the path")
    return _pretrained(parse_variant(str(source)), progress)


def _pretrained(variant: Variant, progress: Progress | None) -> LoadedNetwork:
    if variant.name not in PRETRAINED:
        raise EdgenetError(
            f"there are no pretrained weights for {variant.name}",
            f"choose a variant that has them ({', '.join(PRETRAINED)}), give a file with weights ({FORMATS}),"
            " or train your own with `edgenet train`",
        )
    return load_torchvision_v2(find_weights(PRETRAINED[variant.name], progress), variant.resolution)
