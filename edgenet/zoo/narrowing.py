"""ImageNet weights for networks whose width has none: those of the nearest wider network, with fewer channels.

The channels that stay are those whose weights have the largest norm (arXiv 1608.08710, section 3.1, filters by their
norm), scaled by their batch normalization. A channel that a residual connection adds to others is judged by the norms
of all of them. The result is a start for a training, not a network to use: its batch normalization still has the
statistics of the wider network.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

import torch
from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.progress import StageProgress
from edgenet.zoo.catalogue import (
    PretrainedWeights,
    entry_for_layers,
    entry_of_wider_layers,
    nearest_variants,
)
from edgenet.zoo.checkpoint import LoadedNetwork, load_tensors
from edgenet.zoo.classifier import Classifier
from edgenet.zoo.layouts import meta_network
from edgenet.zoo.pretrained import load_pretrained
from edgenet.zoo.registry import Variant


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
