"""Loads TF-slim's MobileNetV1 weights (an .npz file of its variables) into our module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import UNREADABLE_ZIP, sha256
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.labels import labels_for
from edgenet.zoo.loaded import LICENCE_UNKNOWN, LoadedNetwork, infer_width, load_tensors
from edgenet.zoo.mobilenet_v1 import BLOCKS, channel_plan
from edgenet.zoo.normalization import SLIM
from edgenet.zoo.registry import Variant

EPSILON = 1e-3
RESOLUTION = 224
LOGITS = "MobilenetV1/Logits/Conv2d_1c_1x1"
_REMEDY = "give TF-slim's MobilenetV1 variables saved with numpy.savez under their own names"
_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def load_slim_v1(path: Path, resolution: int = RESOLUTION) -> LoadedNetwork:
    """Read TF-slim's MobilenetV1 variables, for any width multiplier and number of classes.

    Args:
        path: the .npz file.
        resolution: the resolution of the network. The file does not say which one it was trained at.

    Raises:
        EdgenetError: the file does not exist, is not an .npz file, or does not hold TF-slim's MobilenetV1.
    """
    arrays = _read(path)
    tensors = {ours: _tensor(arrays, name, path) for name, ours in _variable_names().items()}
    # Unknown variables keep their names, so that `load_tensors` reports them as left over.
    tensors |= {name: torch.tensor(0) for name in arrays.keys() - _variable_names().keys()}
    width = infer_width(_channels(tensors), channel_plan)
    if width is None:
        raise EdgenetError(f"the channel numbers in {path} fit no width multiplier of MobileNetV1", _REMEDY)
    variant = Variant("mobilenet_v1", width, resolution)
    classes = tensors["classifier.bias"].shape[0]
    options = NetworkOptions(classes, epsilon=EPSILON, normalization=SLIM)
    network = load_tensors(variant, options, tensors, str(path))
    origin = f"{path.name} (TF-slim's MobilenetV1), SHA-256 {sha256(path)}"
    return LoadedNetwork(network, variant, labels_for(classes), SLIM, origin, LICENCE_UNKNOWN)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise EdgenetError(f"{path} holds a single array without a name", _REMEDY)
        with arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise EdgenetError(f"there is no file {path}", "check the path") from None
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"{path} cannot be read as an .npz of arrays ({error})", _REMEDY) from error


def _layers() -> dict[str, str]:
    """Return a map from TF-slim's scope of each convolution with batch normalization to our block."""
    layers = {"MobilenetV1/Conv2d_0": "features.0"}
    for index in range(1, len(BLOCKS) + 1):
        for part in ("depthwise", "pointwise"):
            layers[f"MobilenetV1/Conv2d_{index}_{part}"] = f"features.{index}.{part}"
    return layers


def _variable_names() -> dict[str, str]:
    """Return a map from TF-slim's variable names to our tensor names."""
    names = {f"{LOGITS}/weights": "classifier.weight", f"{LOGITS}/biases": "classifier.bias"}
    for scope, block in _layers().items():
        weights = "depthwise_weights" if scope.endswith("_depthwise") else "weights"
        names[f"{scope}/{weights}"] = f"{block}.conv.weight"
        names |= {
            f"{scope}/BatchNorm/{theirs}": f"{block}.norm.{ours}" for theirs, ours in _BATCH_NORM.items()
        }
    return names


def _tensor(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> Tensor:
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
        raise EdgenetError(found, _REMEDY)
    array = np.asarray(arrays[name], np.float32)
    is_kernel = name.endswith("weights")
    if array.ndim != (4 if is_kernel else 1):
        raise EdgenetError(f"{path} has {name} of shape {array.shape}", _REMEDY)
    if is_kernel:
        array = array.transpose((2, 3, 0, 1) if name.endswith("depthwise_weights") else (3, 2, 0, 1))
    if name == f"{LOGITS}/weights":
        array = array.reshape(array.shape[0], -1)
    return torch.from_numpy(np.ascontiguousarray(array))


def _channels(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the output channels in the order of `mobilenet_v1.channel_plan`."""
    outputs = ("features.0", *(f"features.{index}.pointwise" for index in range(1, len(BLOCKS) + 1)))
    return tuple(tensors[f"{name}.conv.weight"].shape[0] for name in outputs)
