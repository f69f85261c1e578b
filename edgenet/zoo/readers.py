"""Loads a network with its weights, given a variant's name or a file of weights.

The files are edgenet's own checkpoints, those of torchvision's and timm's mobile networks, float .tflite files of any
maker, and TF-slim's MobileNetV1 (an .npz file of its variables).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from edgenet_device.file_kind import (
    NPZ,
    SAFETENSORS,
    TFLITE,
    UNKNOWN,
    file_kind,
    wrong_kind,
)
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import read_arrays, sha256
from edgenet.progress import StageProgress
from edgenet.zoo import mobilenet_v1
from edgenet.zoo.catalogue import entries_of, find_entry, labels_for, nearest_variants
from edgenet.zoo.checkpoint import (
    LICENCE_UNKNOWN,
    LoadedNetwork,
    is_foreign_checkpoint,
    load_checkpoint,
    load_tensors,
)
from edgenet.zoo.classifier import SLIM, NetworkOptions
from edgenet.zoo.pretrained import load_pretrained
from edgenet.zoo.registry import ARCHITECTURES, Variant, parse_variant

FORMATS = (
    ".safetensors (edgenet's checkpoint), .pth, .pt, .ckpt, .bin and .safetensors of torchvision's and timm's mobile"
    " networks, float .tflite files of these networks, .npz (TF-slim's MobilenetV1)"
)


def load_network(
    source: str | Path,
    resolution: int | None = None,
    progress: StageProgress | None = None,
    architecture: str | None = None,
) -> LoadedNetwork:
    """Return a network with its weights, in evaluation mode.

    Args:
        source: a variant's name, for its ImageNet weights, or with a tag (mobilenet_v2_0.5_224:keras) for others of
            them; or the path of a file in one of `FORMATS`.
        resolution: the resolution to use instead of the one the weights were trained at. Weights fit any resolution,
            except those of AlexNet and VGG16.
        progress: called while weights are downloaded.
        architecture: what the network in a checkpoint of torchvision or timm is, instead of what its tensors look
            like (see `load_foreign`).

    Raises:
        EdgenetError: there is no such variant or file, no weights for the variant, or the file does not fit.
    """
    loaded = _load(source, progress, architecture)
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


def _load(source: str | Path, progress: StageProgress | None, architecture: str | None) -> LoadedNetwork:
    path = Path(source)
    kind = file_kind(path) if path.is_file() else UNKNOWN
    suffix = path.suffix.lower() if kind is UNKNOWN else ""
    if is_foreign_checkpoint(path) or suffix in TORCH_SUFFIXES:
        from edgenet.zoo.foreign_checkpoint import load_foreign

        return load_foreign(path, architecture)
    if architecture is not None:
        raise EdgenetError(f"{source} says itself what its network is", "leave out --architecture")
    if kind is SAFETENSORS or suffix == ".safetensors":
        return load_checkpoint(path)
    if kind is NPZ or suffix == ".npz":
        return load_slim_v1(path)
    if kind is TFLITE:
        from edgenet.zoo.finished_files import load_tflite

        return load_tflite(path)
    if path.is_file() and kind is not UNKNOWN:
        raise wrong_kind(path, kind, "a file of weights", f"the known formats are: {FORMATS}")
    if path.exists():
        raise EdgenetError(f"{path} is not in a known format of weights", f"the known formats are: {FORMATS}")
    if os.path.sep in str(source):
        raise EdgenetError(f"there is no file {path}", "check the path")
    return _pretrained(str(source), progress)


TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pt2")


def _pretrained(name: str, progress: StageProgress | None) -> LoadedNetwork:
    variant, _, tag = name.partition(":")
    variant = parse_variant(variant).name
    if not entries_of(variant):
        raise EdgenetError(
            f"there are no pretrained weights for {variant}",
            f"choose a variant that has them ({', '.join(nearest_variants(variant))}; `edgenet models --weights` lists"
            f" all), give a file with weights ({FORMATS}), or train your own with `edgenet train`",
        )
    return load_pretrained(find_entry(f"{variant}:{tag}"), progress)


def load_slim_v1(path: Path, resolution: int = 224) -> LoadedNetwork:
    """Read TF-slim's MobilenetV1 variables, for any width multiplier and number of classes.

    Args:
        path: the .npz file.
        resolution: the resolution of the network. The file does not say which one it was trained at.

    Raises:
        EdgenetError: the file does not exist, is not an .npz file, or does not hold TF-slim's MobilenetV1.
    """
    arrays = _read_slim(path)
    tensors = {ours: _slim_tensor(arrays, name, path) for name, ours in _slim_variables().items()}
    # Unknown variables keep their names, so that `load_tensors` reports them as left over.
    tensors |= {name: torch.tensor(0) for name in arrays.keys() - _slim_variables().keys()}
    width = infer_width(_slim_channels(tensors), mobilenet_v1.channel_plan)
    if width is None:
        raise EdgenetError(
            f"the channel numbers in {path} fit no width multiplier of MobileNetV1", _SLIM_REMEDY
        )
    variant = Variant("mobilenet_v1", width, resolution)
    classes = tensors["classifier.bias"].shape[0]
    options = NetworkOptions(classes, epsilon=1e-3, normalization=SLIM)
    network = load_tensors(variant, options, tensors, str(path))
    origin = f"{path.name} (TF-slim's MobilenetV1), SHA-256 {sha256(path)}"
    return LoadedNetwork(network, variant, labels_for(classes), SLIM, origin, LICENCE_UNKNOWN)


_SLIM_REMEDY = "give TF-slim's MobilenetV1 variables saved with numpy.savez under their own names"


def _read_slim(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except FileNotFoundError:
        raise EdgenetError(f"there is no file {path}", "check the path") from None
    except ValueError as error:
        raise EdgenetError(f"{path} cannot be read as an .npz of arrays ({error})", _SLIM_REMEDY) from error


_SLIM_LOGITS = "MobilenetV1/Logits/Conv2d_1c_1x1"
# TF-slim's and our names of the tensors of batch normalization.
_SLIM_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _slim_variables() -> dict[str, str]:
    """Return a map from TF-slim's variable names to our tensor names."""
    names = {f"{_SLIM_LOGITS}/weights": "classifier.weight", f"{_SLIM_LOGITS}/biases": "classifier.bias"}
    for scope, block in _slim_layers().items():
        weights = "depthwise_weights" if scope.endswith("_depthwise") else "weights"
        names[f"{scope}/{weights}"] = f"{block}.conv.weight"
        names |= {
            f"{scope}/BatchNorm/{theirs}": f"{block}.norm.{ours}" for theirs, ours in _SLIM_BATCH_NORM.items()
        }
    return names


def _slim_layers() -> dict[str, str]:
    """Return a map from TF-slim's scope of each convolution with batch normalization to our block."""
    layers = {"MobilenetV1/Conv2d_0": "features.0"}
    for index in range(1, len(mobilenet_v1.BLOCKS) + 1):
        for part in ("depthwise", "pointwise"):
            layers[f"MobilenetV1/Conv2d_{index}_{part}"] = f"features.{index}.{part}"
    return layers


def _slim_tensor(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> Tensor:
    """Return one variable in torch's layout.

    TF-slim's kernels are [height, width, input, output], torch's are [output, input, height, width]. TF-slim's
    depthwise kernels are [height, width, channel, 1], torch's are [channel, 1, height, width]. The 1x1 convolution that
    computes TF-slim's logits becomes a matrix.
    """
    if name not in arrays:
        some = ", ".join(list(arrays)[:2]) or "none"
        found = (
            f"{path} is not TF-slim's MobilenetV1: {name} is not among its {len(arrays)} arrays ({some}, ...)"
        )
        raise EdgenetError(found, _SLIM_REMEDY)
    if arrays[name].dtype.kind not in "fiu":
        raise EdgenetError(f"{path} has {name} of the type {arrays[name].dtype}", _SLIM_REMEDY)
    array = np.asarray(arrays[name], np.float32)
    is_kernel = name.endswith("weights")
    if array.ndim != (4 if is_kernel else 1):
        raise EdgenetError(f"{path} has {name} of shape {array.shape}", _SLIM_REMEDY)
    if is_kernel:
        array = array.transpose((2, 3, 0, 1) if name.endswith("depthwise_weights") else (3, 2, 0, 1))
    if name == f"{_SLIM_LOGITS}/weights":
        array = array.reshape(array.shape[0], -1)
    return torch.from_numpy(np.ascontiguousarray(array))


def _slim_channels(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the output channels in the order of `mobilenet_v1.channel_plan`."""
    outputs = (
        "features.0",
        *(f"features.{index}.pointwise" for index in range(1, len(mobilenet_v1.BLOCKS) + 1)),
    )
    return tuple(tensors[f"{name}.conv.weight"].shape[0] for name in outputs)


# Tried first and in this order, so that a channel plan shared by several widths gets the usual width.
_USUAL_WIDTHS = (1.0, 0.75, 0.5, 0.25, 1.4, 0.35, 1.3)


def infer_width(channels: tuple[int, ...], plan: Callable[[float], tuple[int, ...]]) -> float | None:
    """Return the width multiplier whose channel plan is `channels`, or None if there is none.

    Args:
        channels: the output channels of the layers.
        plan: returns the channel plan of a width. All multiples of 0.01 up to 8 are tried.
    """
    candidates = (*_USUAL_WIDTHS, *(hundredths / 100 for hundredths in range(1, 801)))
    return next((width for width in candidates if plan(width) == channels), None)
