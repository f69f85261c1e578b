"""What rounding costs at the logits, before anything is rounded: the noise that equalization makes small.

Uniform rounding to steps of d has the variance d^2 / 12; `sensitivity` says what becomes of it at the logits.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Real = TypeVar("Real", torch.Tensor, NDArray[np.float64])

STEPS = 255
WEIGHT_STEPS = 127


def activation_noise(span: Real, sensitivity: Real) -> Real:
    """Energy at the logits from a tensor's rounding.

    Args:
        span: what its 255 steps reach over.
        sensitivity: of the tensor, summed over its channels.
    """
    return (span / STEPS) ** 2 / 12 * sensitivity


def weight_noise(largest: Real, rows: Real, input_gain: Real) -> Real:
    """Energy at the logits from a layer's rounded weights.

    Args:
        largest: magnitude of each output channel's weights [O]; it becomes step 127.
        rows: the layer's sensitivity by output channel [O].
        input_gain: how much more the weights matter than they did when `rows` was measured, since their inputs
            were scaled: a mean over input channels, weighted by their sensitivity.
    """
    return ((largest / WEIGHT_STEPS) ** 2 / 12 * rows).sum() * input_gain
