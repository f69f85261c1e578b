"""Counts the mult-adds and parameters of a torch module as the MobileNet papers count them.

Mult-adds are the multiplications of convolutions and fully connected layers. Padding counts like data, batch
normalization is assumed to be folded into the convolutions, and biases and additions are free. Parameters are the
weights of those layers, without biases and batch normalization. This convention reproduces V1's published 569 million
mult-adds and 4.2, 2.6, 1.3, 0.5 and 1.32 million parameters. With biases and batch normalization, V1 0.5 would have
1.33 million parameters, not the 1.32 of table 9.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgenet.zoo.registry import build, parse_variant
from edgenet.zoo.shape_rules import RULES, UNCHANGED

_COUNTED = frozenset({F.conv2d, F.linear})


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs.

    Attributes:
        mult_adds: the number of mult-adds for one photo.
        parameters: the number of parameters.
    """

    mult_adds: int
    parameters: int


class _Counter(TorchFunctionMode):
    """A context manager that intercepts every call of a torch function and counts mult-adds and weights."""

    def __init__(self) -> None:
        super().__init__()
        self.mult_adds = 0
        self.weights: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple = (), kwargs: Mapping | None = None
    ) -> Any:
        if func in UNCHANGED:
            return args[0]
        if func not in RULES:
            return func(*args, **(kwargs or {}))
        shape = RULES[func](*args, **(kwargs or {}))
        if func in _COUNTED:
            # Each output value takes one multiplication per weight of its filter.
            weight = args[1]
            self.mult_adds += math.prod(shape) * weight[0].numel()
            self.weights[id(weight)] = weight
        return torch.empty(shape, device="meta")


def count(network: nn.Module, resolution: int) -> NetworkCost:
    """Count a network over an input [1,3,resolution,resolution], without computing any value.

    The network runs on the meta device (shapes only), wherever its weights are, and is not changed. Conv2d and Linear
    layers count. A layer that runs twice counts twice in mult-adds and once in parameters.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    photo = torch.empty(1, 3, resolution, resolution, device="meta")
    with torch.no_grad(), _Counter() as counter:
        torch.func.functional_call(network, shapes, (photo,))
    return NetworkCost(counter.mult_adds, sum(weight.numel() for weight in counter.weights.values()))


def count_variant(name: str, classes: int = 1000) -> NetworkCost:
    """Count a network by its variant's name, without allocating its weights."""
    variant = parse_variant(name)
    with torch.device("meta"):
        network = build(variant, classes)
    return count(network, variant.resolution)
