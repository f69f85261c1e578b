"""Loads a network with its weights, given a variant's name or a file of weights.

The files are edgenet's own checkpoints, torchvision's MobileNetV2 (a state dict in a .pth file) and TF-slim's
MobileNetV1 (an .npz file of its variables).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import read_arrays, sha256
from edgenet.progress import StageProgress
from edgenet.zoo import mobilenet_v1, mobilenet_v2
from edgenet.zoo.catalogue import entries_of, entry_of_digest, find_entry, nearest_variants
from edgenet.zoo.checkpoint import LICENCE_UNKNOWN, LoadedNetwork, load_checkpoint, load_tensors
from edgenet.zoo.classifier import SLIM, TORCHVISION, NetworkOptions
from edgenet.zoo.imagenet_labels import labels_for
from edgenet.zoo.pretrained import load_pretrained, read_state_dict
from edgenet.zoo.registry import ARCHITECTURES, Variant, parse_variant

FORMATS = (
    ".safetensors (edgenet's checkpoint), .npz (TF-slim's MobilenetV1), .pth (torchvision's mobilenet_v2)"
)


def load_network(
    source: str | Path, resolution: int | None = None, progress: StageProgress | None = None
) -> LoadedNetwork:
    """Return a network with its weights, in evaluation mode.

    Args:
        source: a variant's name, for its ImageNet weights, or with a tag (mobilenet_v2_0.5_224:keras) for others of
            them; or the path of a file in one of `FORMATS`.
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


def _load(source: str | Path, progress: StageProgress | None) -> LoadedNetwork:
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
    return _pretrained(str(source), progress)


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


def load_torchvision_v2(path: Path, resolution: int = 224) -> LoadedNetwork:
    """Read a state dict of torchvision's `mobilenet_v2`, for any width and number of classes.

    The network pads symmetrically like torchvision's, so it gives the same logits.

    Args:
        path: the .pth file.
        resolution: the resolution of the network. The file does not say which one it was trained at; torchvision's own
            weights were trained at 224.

    Raises:
        EdgenetError: the file does not exist, torch cannot load it safely, or it is not torchvision's MobileNetV2.
    """
    state = read_state_dict(path)
    width = infer_width(_torchvision_channels(state, path), mobilenet_v2.channel_plan)
    if width is None:
        raise EdgenetError(
            f"the channel numbers in {path} fit no width multiplier of MobileNetV2",
            "give weights of torchvision's mobilenet_v2",
        )
    variant = Variant("mobilenet_v2", width, resolution)
    classes = state["classifier.1.weight"].shape[0]
    options = NetworkOptions(classes, padding="symmetric", epsilon=1e-5, normalization=TORCHVISION)
    network = load_tensors(variant, options, _renamed_torchvision(state), str(path))
    origin, licence = _torchvision_origin(path)
    return LoadedNetwork(network, variant, labels_for(classes), TORCHVISION, origin, licence)


def _torchvision_channels(state: Mapping[str, Tensor], path: Path) -> tuple[int, ...]:
    """Return the output channels in the order of `mobilenet_v2.channel_plan`."""
    outputs = (
        "features.0.conv",
        *(f"features.{i}.layers.project.conv" for i in range(1, 18)),
        "features.18.conv",
    )
    theirs = {ours: name for name, ours in _torchvision_layers().items()}
    wanted = [f"{theirs[name]}.weight" for name in outputs]
    missing = [name for name in (*wanted, "classifier.1.weight") if name not in state or state[name].ndim < 2]
    if missing:
        raise EdgenetError(
            f"{path} is not torchvision's MobileNetV2: {missing[0]} is missing among its {len(state)} tensors"
            f" ({', '.join(list(state)[:2])}, ...)",
            "give weights of torchvision's mobilenet_v2",
        )
    return tuple(state[name].shape[0] for name in wanted)


def _renamed_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under our names. Unknown names stay, so that `load_tensors` reports them as left over."""
    names = _torchvision_layers()
    renamed = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{names.get(layer, layer)}.{kind}"] = tensor
    return renamed


def _torchvision_layers() -> dict[str, str]:
    """Return a map from torchvision's name of each layer with weights to our name."""
    names = {"features.0.0": "features.0.conv", "features.0.1": "features.0.norm"}
    shapes = mobilenet_v2.bottleneck_shapes()
    for index, (expansion, _) in enumerate(shapes, start=1):
        activated = ("depthwise",) if expansion == 1 else ("expand", "depthwise")
        theirs, ours = f"features.{index}.conv", f"features.{index}.layers"
        for position, part in enumerate(activated):
            names[f"{theirs}.{position}.0"] = f"{ours}.{part}.conv"
            names[f"{theirs}.{position}.1"] = f"{ours}.{part}.norm"
        # torchvision does not group the linear projection with its batch normalization.
        names[f"{theirs}.{len(activated)}"] = f"{ours}.project.conv"
        names[f"{theirs}.{len(activated) + 1}"] = f"{ours}.project.norm"
    last = len(shapes) + 1
    names |= {f"features.{last}.0": f"features.{last}.conv", f"features.{last}.1": f"features.{last}.norm"}
    return names | {"classifier.1": "classifier"}


def _torchvision_origin(path: Path) -> tuple[str, str]:
    digest = sha256(path)
    if (entry := entry_of_digest(digest)) is not None:
        return entry.origin, entry.terms
    return f"{path.name} (torchvision's MobileNetV2), SHA-256 {digest}", LICENCE_UNKNOWN


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
