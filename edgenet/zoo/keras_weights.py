"""Reads the .h5 files of weights of Keras' own applications: MobileNet, MobileNetV2 and MobileNetV3.

The files hold each layer's weights in the order of the network, which is also ours. Keras itself loads them by this
order, because their layers' names differ from those of today's networks. The last part of a weight's name says what it
is, and shapes must fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.zoo.layouts import COUNTER

# What Keras calls the weights that are the ends of our tensors' names.
_KINDS = {
    "conv.weight": ("kernel", "depthwise_kernel"),
    "norm.weight": ("gamma",),
    "norm.bias": ("beta",),
    "norm.running_mean": ("moving_mean",),
    "norm.running_var": ("moving_variance",),
}
_OTHER_KINDS = {"weight": ("kernel",), "bias": ("bias",)}
_REMEDY = "give the file of one of Keras' applications, with the top"
MOST_BYTES = 1 << 29
"""No such file holds as much; a damaged one may claim more."""


def read_keras(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a network from a .h5 file.

    Args:
        path: the file, of weights only or of a whole model.
        expected: our network's tensors, whose names and shapes the result has; their values are not used.

    Raises:
        EdgenetError: the file is not HDF5, or holds other weights.
    """
    names = [name for name in expected if not name.endswith(COUNTER)]
    weights = _read(path)
    if len(weights) != len(names):
        raise EdgenetError(f"{path} holds {len(weights)} weights, but the network has {len(names)}", _REMEDY)
    tensors = {}
    for name, (theirs, array) in zip(names, weights, strict=True):
        if theirs.rpartition("/")[2].partition(":")[0] not in _kinds_of(name):
            raise EdgenetError(f"{path} has {theirs} in the place of {name}", _REMEDY)
        tensors[name] = torch.from_numpy(
            np.ascontiguousarray(in_our_order(array, tuple(expected[name].shape)))
        )
    return tensors


def _kinds_of(name: str) -> tuple[str, ...]:
    end = ".".join(name.split(".")[-2:])
    return _KINDS.get(end) or _OTHER_KINDS[name.rpartition(".")[2]]


def in_our_order(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return TensorFlow's weights in torch's order; `load_tensors` checks whether the result fits.

    Kernels [height, width, input, output] become [output, input, height, width], depthwise kernels [height, width,
    channel, 1] become [channel, 1, height, width], and the last layer becomes a matrix [output, input].

    Args:
        array: the weights.
        shape: the shape that our tensor has.
    """
    if array.ndim == 4 and len(shape) == 4:
        return array.transpose((2, 3, 0, 1) if shape[1] == 1 and array.shape[3] == 1 else (3, 2, 0, 1))
    if len(shape) == 2:
        return array.reshape(-1, array.shape[-1]).T
    return array


def _read(path: Path) -> list[tuple[str, np.ndarray]]:
    """Return the names and values of all weights, in the file's order."""
    try:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            if "layer_names" not in group.attrs:
                raise EdgenetError(f"{path} is an HDF5 file, but not one of Keras' weights", _REMEDY)
            return list(_weights(group))
    except FileNotFoundError:
        raise EdgenetError(f"there is no file {path}", "check the path") from None
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EdgenetError(f"{path} cannot be read as an HDF5 file ({reason})", _REMEDY) from error


def _weights(group: h5py.Group) -> Iterator[tuple[str, np.ndarray]]:
    total = 0
    for layer in group.attrs["layer_names"]:
        weights = group[layer]
        for name in weights.attrs["weight_names"]:
            data = weights[name]
            total += data.size * 4
            if total > MOST_BYTES:
                raise ValueError("it claims to hold more weights than any of these networks")
            yield name if isinstance(name, str) else name.decode(), np.asarray(data, np.float32)
