"""Finds how another tool's int8 file takes photos: it may need normalized input without saying so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import Graph
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.error import layer_errors
from edgenet.quantize.photo_input import Decode, stated
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
    """Find how to turn photos into the file's input.

    A file with uint8 input takes pixels. For any other file, each way is tried, and the one whose first layer
    comes closest to the float network's first layer is chosen.

    Args:
        program: the file.
        quantized: the file's graph.
        reference: the float network's graph.
        images: uint8 RGB [n, H, W, 3] to try the ways on; one photo is enough.
        normalization: the only normalization to try besides plain pixels; None to try all of NORMALIZATIONS.

    Returns:
        The name of the way ("pixels" or a normalization), and the function that turns photos into real input
        values.
    """
    source = program.tensors[program.input]
    if source.dtype == "uint8" and source.quantization is not None:
        scale, zero_point = source.quantization.scales[0], source.quantization.zero_points[0]
        return PIXELS, lambda pixels: (pixels.astype(np.float32) - zero_point) * np.float32(scale)
    ways: dict[str, Decode] = {PIXELS: stated(quantized.graph)}
    for name in [normalization] if normalization else NORMALIZATIONS:
        ways[name] = _normalizing(parse_normalization(name))
    name = max(ways, key=lambda way: layer_errors(quantized, reference, images, ways[way]).layers[0].sqnr_db)
    return name, ways[name]


def _normalizing(normalization: Normalization) -> Decode:
    mean, std = (np.array(values, np.float32) for values in (normalization.mean, normalization.std))
    return lambda images: (images - mean) / std
