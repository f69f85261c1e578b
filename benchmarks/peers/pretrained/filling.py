"""Values for the tensors of a network, made from their names, so that every program fills a network with the same ones.

It needs only numpy, because it also runs in the environments of timm and Keras.
"""

from __future__ import annotations

import math
import zlib

import numpy as np


def filled(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 values for the tensor with a name.

    Convolutions get He's normal weights. Batch normalization gets means, variances and factors that differ between
    channels, as after a training; with the values of a fresh network, a mistake in them would not show.

    Args:
        name: the tensor's name in its library; it seeds the values, and its end says what the tensor is.
        shape: the tensor's shape, in torch's or TensorFlow's order.
    """
    random = np.random.RandomState(zlib.crc32(name.encode()))
    kind = name.replace("/", ".").partition(":")[0].rpartition(".")[2]
    if kind in ("running_var", "moving_variance", "gamma") or (kind == "weight" and len(shape) == 1):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        values = 0.1 * random.standard_normal(shape)
    else:
        values = random.standard_normal(shape) * math.sqrt(2 / _fan_in(kind, shape))
    return values.astype(np.float32)


def _fan_in(kind: str, shape: tuple[int, ...]) -> int:
    """Return the number of weights of each output, the first side of torch's shapes and the last of TensorFlow's."""
    if kind == "weight":
        return math.prod(shape[1:])
    depthwise = len(shape) == 4 and shape[3] == 1
    return math.prod(shape[:2]) if depthwise else math.prod(shape[:-1])


def picture(side: int) -> np.ndarray:
    """Return a normalized picture, float32 [1, 3, side, side]."""
    return np.random.RandomState(side).standard_normal((1, 3, side, side)).astype(np.float32)
