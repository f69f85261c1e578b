"""Gradient descent for the few numbers that reshape a network; torch's own optimizers take seconds to import."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

MOMENTUM, SQUARES = 0.9, 0.999
SMALLEST = 1e-30


@torch.enable_grad()
def descend(noise: Callable[[Tensor], Tensor], start: Tensor, steps: int, rate: float) -> Tensor:
    """Return where Adam (arXiv 1412.6980) gets from `start`, on the logarithm of the noise.

    Args:
        noise: returns the noise at a point, a scalar with a gradient.
        start: the first point.
        steps: number of steps.
        rate: the first learning rate, which falls to zero along half a cosine.
    """
    point = start.detach()
    mean, square = torch.zeros_like(point), torch.zeros_like(point)
    for step in range(steps):
        point.requires_grad_(True)
        (gradient,) = torch.autograd.grad((noise(point) + SMALLEST).log(), point)
        point = point.detach()
        mean = MOMENTUM * mean + (1 - MOMENTUM) * gradient
        square = SQUARES * square + (1 - SQUARES) * gradient.square()
        towards = mean / (1 - MOMENTUM ** (step + 1))
        size = (square / (1 - SQUARES ** (step + 1))).sqrt() + 1e-8
        point = point - rate * (1 + math.cos(math.pi * step / steps)) / 2 * towards / size
    return point
