"""Mult-adds and parameters of a torch module, counted as the MobileNet papers count them.

The convention under which V1's published 569 million mult-adds, and 4.2, 2.6, 1.3, 0.5 and 1.32 million
parameters, all come out: the multiplications of convolutions and fully connected layers (padding counted as
if it were data, batch normalization folded away, biases and additions free), and the weights of those layers
alone, without biases and batch normalization. With these, V1 0.5 would have 1.33 million parameters, not the
1.32 of table 9.
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
    """Mult-adds for one photo, and parameters."""

    mult_adds: int
    parameters: int


class _Counter(TorchFunctionMode):
    """Sees every call of a torch function while it is entered."""

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
            # Each output value takes the weights of one filter.
            weight = args[1]
            self.mult_adds += math.prod(shape) * weight[0].numel()
            self.weights[id(weight)] = weight
        return torch.empty(shape, device="meta")


def count(network: nn.Module, resolution: int) -> NetworkCost:
    """Counts a network over an input [1,3,resolution,resolution], without computing a single value.

    The network runs on the meta device (shapes only), wherever its weights are; it is left as it was.
    Conv2d and Linear count; a layer that runs twice counts twice in mult-adds and once in parameters.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    photo = torch.empty(1, 3, resolution, resolution, device="meta")
    with torch.no_grad(), _Counter() as counter:
        torch.func.functional_call(network, shapes, (photo,))
    return NetworkCost(counter.mult_adds, sum(weight.numel() for weight in counter.weights.values()))


def count_variant(name: str, classes: int = 1000) -> NetworkCost:
    """Counts a network by its variant's name, without allocating its weights."""
    variant = parse_variant(name)
    with torch.device("meta"):
        network = build(variant, classes)
    return count(network, variant.resolution)
