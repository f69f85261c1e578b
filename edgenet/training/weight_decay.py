"""Decides which parameters have weight decay: all but depthwise filters, batch normalization and biases.

"It was important to put very little or no weight decay (l2 regularization) on the depthwise filters since there are so
few parameters in them" (arXiv 1704.04861, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class DecayGroups:
    """The names of a network's parameters, in two groups.

    Attributes:
        decaying: the parameters with weight decay.
        free: the parameters without.
    """

    decaying: tuple[str, ...]
    free: tuple[str, ...]


def decay_groups(network: nn.Module) -> DecayGroups:
    """Group the parameters: weights of linear layers and of convolutions decay, except depthwise; others do not."""
    decaying = {
        f"{name}.weight" if name else "weight" for name, module in network.named_modules() if _decays(module)
    }
    names = [name for name, _ in network.named_parameters()]
    return DecayGroups(
        tuple(name for name in names if name in decaying),
        tuple(name for name in names if name not in decaying),
    )


def _decays(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 or module.groups < module.in_channels
    return isinstance(module, nn.Linear)
