"""Loads a network with official ImageNet weights, with what the catalogue says about their file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor

from edgenet.progress import StageProgress
from edgenet.zoo.catalogue import PretrainedWeights
from edgenet.zoo.checkpoint import LoadedNetwork, load_tensors
from edgenet.zoo.classifier import SLIM, TORCHVISION, NetworkOptions, Normalization
from edgenet.zoo.folded_weights import check_results, read_folded
from edgenet.zoo.imagenet_labels import imagenet_labels
from edgenet.zoo.keras_weights import read_keras
from edgenet.zoo.layers import Padding
from edgenet.zoo.layouts import find_library, meta_network, renamed
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
