"""Loads a network with official ImageNet weights, with what the catalogue says about their file.

The .h5 files of Keras' own applications (MobileNet, MobileNetV2 and MobileNetV3) hold each layer's weights in the
order of the network, which is also ours. Keras itself loads them by this order, because their layers' names differ
from those of today's networks. The last part of a weight's name says what it is, and shapes must fit.

Networks whose width has no ImageNet weights get those of the nearest wider network, with fewer channels. The channels
that stay are those whose weights have the largest norm (arXiv 1608.08710, section 3.1, filters by their norm), scaled
by their batch normalization. A channel that a residual connection adds to others is judged by the norms of all of
them. The result is a start for a training, not a network to use: its batch normalization still has the statistics of
the wider network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.files import read_limited
from edgenet.progress import StageProgress
from edgenet.zoo.catalogue import (
    PretrainedWeights,
    entry_for_layers,
    entry_of_wider_layers,
    imagenet_labels,
    nearest_variants,
)
from edgenet.zoo.checkpoint import LoadedNetwork, load_tensors
from edgenet.zoo.classifier import SLIM, TORCHVISION, Classifier, NetworkOptions, Normalization, Padding
from edgenet.zoo.keras_hdf5 import Hdf5Error, read_hdf5
from edgenet.zoo.layouts import COUNTER, find_library, meta_network, renamed
from edgenet.zoo.registry import Variant, parse_variant
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
        from edgenet.zoo.finished_files import check_results

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
        from edgenet.zoo.finished_files import read_folded

        return read_folded(path, expected, options.epsilon)
    from edgenet.zoo.state_dicts import read_state_dict

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


def starting_weights(variant: Variant) -> PretrainedWeights | None:
    """Return the ImageNet weights from which a training of a variant starts; None if even no wider network has any."""
    found = entry_for_layers(variant.architecture, variant.width)
    return found or entry_of_wider_layers(variant.architecture, variant.width)


def load_start(variant: Variant, progress: StageProgress | None = None) -> LoadedNetwork:
    """Return a network of a variant's layers with ImageNet weights of its own width, or of the nearest wider one.

    Args:
        variant: the variant to train, at any resolution.
        progress: called while weights are downloaded.

    Raises:
        EdgenetError: there are no such weights, or they cannot be obtained.
    """
    entry = starting_weights(variant)
    if entry is None:
        raise EdgenetError(
            f"there are no ImageNet weights for {variant.architecture} of width {variant.width} or wider",
            f"choose a network that has them ({', '.join(nearest_variants(variant.name))}; `edgenet models --weights`"
            " lists all), or give --pretrained FILE, or train from scratch",
        )
    loaded = load_pretrained(entry, progress)
    if loaded.variant.width == variant.width:
        return replace(loaded, variant=variant)
    return narrowed(loaded, variant)


def narrowed(loaded: LoadedNetwork, variant: Variant) -> LoadedNetwork:
    """Return a narrower network of the same architecture with the channels of `loaded` that have the largest norm.

    Args:
        loaded: the wider network.
        variant: the narrower one.
    """
    options = replace(loaded.module.options, fixed_stem=False)
    narrowing = _Narrowing(loaded.module, meta_network(variant, options))
    module = load_tensors(variant, options, narrowing.run(), loaded.origin)
    origin = f"{loaded.origin}, of its width {loaded.variant.width:g} the channels with the largest norm"
    return replace(loaded, module=module, variant=variant, origin=origin)


class _Narrowing:
    """Goes through a network in the order in which its layers run, and keeps as many channels as a narrower one has.

    Args:
        source: the wide network.
        target: the narrow one, of which only the numbers of channels are looked at.
    """

    def __init__(self, source: Classifier, target: Classifier) -> None:
        self.source = source
        self.sizes = {n: m.out_channels for n, m in target.named_modules() if isinstance(m, nn.Conv2d)}
        self.tensors = dict(source.state_dict())

    def run(self) -> dict[str, Tensor]:
        """Return the narrow network's tensors."""
        channels = torch.arange(3)
        blocks = [(f"features.{name}", block) for name, block in self.source.features.named_children()]
        for index, (name, block) in enumerate(blocks):
            residual = takewhile(lambda later: _is_residual(later[1]), blocks[index + 1 :])
            channels = self.narrow_block(name, block, channels, [later for later, _ in residual])
        channels = self.narrow_block("head", self.source.head, channels, [])
        self.take("classifier", channels, None)
        return self.tensors

    def narrow_block(self, name: str, block: nn.Module, entering: Tensor, adding: list[str]) -> Tensor:
        """Narrow the layers of a block, and return which of its output channels stay.

        Args:
            name: the block's name.
            block: the block.
            entering: which of its input channels stay.
            adding: the later blocks that add to this block's output.
        """
        convolutions = [f"{name}.{part}" for part, m in block.named_modules() if isinstance(m, nn.Conv2d)]
        channels = squeezed = entering
        for layer in convolutions:
            if layer.endswith("squeeze.expand"):
                self.take(layer, squeezed, channels)
            elif layer.endswith("squeeze.reduce"):
                squeezed = self.largest(layer, self.scores(layer))
                self.take(layer, channels, squeezed)
            elif self.source.get_submodule(layer).groups != 1:  # depthwise: each channel has its own filter
                self.take(layer, None, channels)
            else:
                inputs = channels
                if layer != convolutions[-1]:
                    channels = self.largest(layer, self.scores(layer))
                elif _is_residual(block):
                    channels = entering
                else:
                    later = [self.scores(self.last_layer(other)) for other in adding]
                    channels = self.largest(layer, sum(later, self.scores(layer)))
                self.take(layer, inputs, channels)
        return channels

    def last_layer(self, block: str) -> str:
        """Return the name of the last convolution of a block."""
        modules = self.source.get_submodule(block).named_modules()
        return [f"{block}.{part}" for part, module in modules if isinstance(module, nn.Conv2d)][-1]

    def scores(self, layer: str) -> Tensor:
        """Return the norm of the weights of each output channel, as batch normalization scales them."""
        norms = self.source.state_dict()[f"{layer}.weight"].flatten(1).norm(dim=1)
        after = self.norm_of(layer)
        if after is None:
            return norms
        assert after.running_var is not None
        return norms * after.weight.detach().abs() / (after.running_var + after.eps).sqrt()

    def norm_of(self, layer: str) -> nn.BatchNorm2d | None:
        """Return the batch normalization behind a convolution, or None if it has a bias instead."""
        if not layer.endswith(".conv"):
            return None
        norm = self.source.get_submodule(f"{layer.removesuffix('conv')}norm")
        assert isinstance(norm, nn.BatchNorm2d)
        return norm

    def largest(self, layer: str, scores: Tensor) -> Tensor:
        """Return the indices of the largest scores, in order, as many as the narrow layer has channels."""
        return scores.topk(self.sizes[layer]).indices.sort().values

    def take(self, layer: str, inputs: Tensor | None, outputs: Tensor | None) -> None:
        """Keep these input and output channels of a layer and of its batch normalization; None keeps all."""
        names = (layer, f"{layer.removesuffix('conv')}norm" if layer.endswith(".conv") else layer)
        for name, tensor in self.tensors.items():
            if name.rpartition(".")[0] not in names or tensor.ndim == 0:
                continue
            if outputs is not None:
                tensor = tensor[outputs]
            if inputs is not None and tensor.ndim > 1:
                tensor = tensor[:, inputs]
            self.tensors[name] = tensor


def _is_residual(block: nn.Module) -> bool:
    return bool(getattr(block, "residual", False))
