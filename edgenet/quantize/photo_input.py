"""What photos are to an int8 file: pixels as they are, or numbers that were normalized before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.executor import decode_pixels
from edgenet.graph.ir import Graph
from edgenet.quantize.encodings import LOW, QuantizedGraph, quantize_array

Decode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From uint8 RGB [n, H, W, 3] to the real numbers that the file's input stands for, of the same shape."""


def stated(graph: Graph) -> Decode:
    """As the file's own input encoding says."""
    return lambda images: decode_pixels(graph, images).numpy()


def as_integers(quantized: QuantizedGraph, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The file's input for real numbers [n, H, W, 3], as uint8 where int8's -128 is 0: what `run_integer` takes."""
    integers = quantize_array(values, quantized.encodings[quantized.graph.input])
    return (integers.astype(np.int16) - LOW).astype(np.uint8)
