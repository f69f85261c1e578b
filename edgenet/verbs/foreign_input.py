"""What photos are to another tool's int8 file, which may want them normalized and does not say how."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.quantize.encodings import QuantizedGraph, dequantize_array
from edgenet.quantize.error import sqnr_db
from edgenet.quantize.integer import run_integer
from edgenet.quantize.photo_input import Decode, as_integers, stated
from edgenet.tflite.program import Program
from edgenet.verbs.sources import NORMALIZATIONS, parse_normalization
from edgenet.zoo.normalization import Normalization

PIXELS = "pixels"


def find_input(
    program: Program,
    quantized: QuantizedGraph,
    reference: Graph,
    images: NDArray[np.uint8],
    normalization: str | None,
) -> tuple[str, Decode]:
    """How the file takes photos: with uint8 input as pixels, else in the way that comes nearest to the float network.

    Args:
        program: what the file says of its input.
        images: uint8 RGB [n, H, W, 3] to try the ways on; one is enough.
        normalization: the only one to try beside plain pixels; None to try all that have a name.

    Returns:
        The way's name, and the way itself.
    """
    ways: dict[str, Decode] = {PIXELS: stated(quantized.graph)}
    if program.tensors[program.input].dtype == "uint8":
        return PIXELS, ways[PIXELS]
    for name in [normalization] if normalization else NORMALIZATIONS:
        ways[name] = _normalizing(parse_normalization(name))
    name = _nearest(ways, quantized, run(reference, images), images)
    return name, ways[name]


def _nearest(
    ways: Mapping[str, Decode],
    quantized: QuantizedGraph,
    wanted: NDArray[np.float32],
    images: NDArray[np.uint8],
) -> str:
    def sqnr(name: str) -> float:
        integers = run_integer(quantized, as_integers(quantized, ways[name](images)))
        given = dequantize_array(integers, quantized.encodings[quantized.graph.output])
        return sqnr_db(float(np.square(wanted).sum()), float(np.square(given - wanted).sum()))

    return max(ways, key=sqnr)


def _normalizing(normalization: Normalization) -> Decode:
    mean, std = (np.array(values, np.float32) for values in (normalization.mean, normalization.std))
    return lambda images: (images - mean) / std
