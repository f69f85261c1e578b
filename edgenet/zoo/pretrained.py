"""Loads a network with official ImageNet weights, with what the catalogue says about their file.

The .h5 files of Keras' own applications (MobileNet, MobileNetV2 and MobileNetV3) hold each layer's weights in the
order of the network, which is also ours. Keras itself loads them by this order, because their layers' names differ
from those of today's networks. The last part of a weight's name says what it is, and shapes must fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import read_limited
from edgenet.progress import StageProgress
from edgenet.zoo.catalogue import PretrainedWeights, imagenet_labels
from edgenet.zoo.checkpoint import LoadedNetwork, load_tensors
from edgenet.zoo.classifier import SLIM, TORCHVISION, NetworkOptions, Normalization
from edgenet.zoo.folded_weights import check_results, read_folded
from edgenet.zoo.keras_hdf5 import Hdf5Error, read_hdf5
from edgenet.zoo.layers import Padding
from edgenet.zoo.layouts import COUNTER, find_library, meta_network, renamed
from edgenet.zoo.registry import Variant, parse_variant
from edgenet.zoo.state_dicts import read_state_dict
from edgenet.zoo.weights import find_weights

NORMALIZATIONS: Mapping[str, Normalization] = {
    "imagenet": TORCHVISION,
    "-1..1": SLIM,
    "0..1": Normalization((0.0,) * 3, (255.0,) * 3),
    "127/128": Normalization((127.0,) * 3, (128.0,) * 3),
}
"""The normalizations that the catalogue names."""


def load_pretrained(
    entry: PretrainedWeights, progress: StageProgress | None = None, cache: Path | None = None
) -> LoadedNetwork:
    """Return a network with the weights of a row of the catalogue, in evaluation mode, with ImageNet's 1,000 labels.

    Args:
        entry: the row.
        progress: called while the file is downloaded.
        cache: the cache folder; None uses `cache_folder()`.

    Raises:
        EdgenetError: the file cannot be obtained, has the wrong checksum, or does not hold this network.
    """
    path = find_weights(entry, progress, cache)
    return read_pretrained(path, entry)


def read_pretrained(path: Path, entry: PretrainedWeights) -> LoadedNetwork:
    """Return the network that a row of the catalogue describes, with the weights in a file, which is not checked.

    Raises:
        EdgenetError: the file does not hold this network.
    """
    variant, options = parse_variant(entry.variant), options_of(entry)
    tensors = _tensors(path, entry, variant, options)
    module = load_tensors(variant, options, tensors, str(path))
    if entry.reader == "tflite":
        check_results(path, module, variant.resolution)
    return LoadedNetwork(module, variant, imagenet_labels(), options.normalization, entry.origin, entry.terms)


def options_of(entry: PretrainedWeights) -> NetworkOptions:
    """Return the options with which a network must be built for these weights."""
    return NetworkOptions(
        padding=cast(Padding, entry.padding),
        epsilon=entry.epsilon,
        normalization=NORMALIZATIONS[entry.normalization],
        fixed_stem=entry.fixed_stem,
    )


def _tensors(
    path: Path, entry: PretrainedWeights, variant: Variant, options: NetworkOptions
) -> dict[str, Tensor]:
    expected = meta_network(variant, options).state_dict()
    if entry.reader == "keras_h5":
        return read_keras(path, expected)
    if entry.reader == "tflite":
        return read_folded(path, expected, options.epsilon)
    state = read_state_dict(path).tensors
    library = find_library(state)
    return renamed(state, library.names(state) if library else {})


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
