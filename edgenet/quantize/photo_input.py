"""Turn photos into the input of an int8 file, which takes raw pixels or already normalized numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.executor import decode_pixels
from edgenet.graph.ir import Graph
from edgenet.quantize.encodings import LOW, QuantizedGraph, quantize_array

Decode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Maps uint8 RGB photos [n, H, W, 3] to the real numbers that the file's input represents, same shape."""


def stated(graph: Graph) -> Decode:
    """Return the decoding that the file's own input encoding states."""
    return lambda images: decode_pixels(graph, images).numpy()


def as_integers(quantized: QuantizedGraph, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return real numbers [n, H, W, 3] as uint8 input of `run_integer`, where 0 stands for int8's -128."""
    integers = quantize_array(values, quantized.encodings[quantized.graph.input])
    return (integers.astype(np.int16) - LOW).astype(np.uint8)
