"""Predict the noise that rounding makes at the logits; equalization and rotation minimize this noise.

Uniform rounding to steps of d makes an error of variance d^2 / 12, and the sensitivity translates it to the
logits.
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
    """Return the noise energy at the logits from rounding a tensor.

    Args:
        span: the range of real values that the tensor's 255 steps cover.
        sensitivity: the sensitivity of the logits to the tensor, summed over the channels that share the
            span.
    """
    return (span / STEPS) ** 2 / 12 * sensitivity


def weight_noise(largest: Real, rows: Real, input_gain: Real) -> Real:
    """Return the noise energy at the logits from rounding a layer's weights.

    Args:
        largest: largest weight magnitude of each output channel [O]; it becomes step 127.
        rows: the layer's sensitivity by output channel [O].
        input_gain: how much more the weights matter than when `rows` was measured, because their inputs were
            scaled: a mean over input channels, weighted by their sensitivity.
    """
    return ((largest / WEIGHT_STEPS) ** 2 / 12 * rows).sum() * input_gain
