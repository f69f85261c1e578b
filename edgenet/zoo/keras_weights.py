"""Reads the .h5 files of weights of Keras' own applications: MobileNet, MobileNetV2 and MobileNetV3.

The files hold each layer's weights in the order of the network, which is also ours. Keras itself loads them by this
order, because their layers' names differ from those of today's networks. The last part of a weight's name says what it
is, and shapes must fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import read_limited
from edgenet.zoo.keras_hdf5 import Hdf5Error, read_hdf5
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


def _read(path: Path) -> list[tuple[str, NDArray[np.float32]]]:
    """Return the names and values of all weights, in the file's order."""
    try:
        _, arrays = read_hdf5(read_limited(path, MOST_BYTES), "layers", MOST_BYTES)
    except FileNotFoundError:
        raise EdgenetError(f"there is no file {path}", "check the path") from None
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check the path") from None
    except Hdf5Error as error:
        raise EdgenetError(f"{path} cannot be read as an HDF5 file of Keras ({error})", _REMEDY) from error
    return [(name.partition("/")[2], array) for name, array in arrays.items()]  # without the layer
