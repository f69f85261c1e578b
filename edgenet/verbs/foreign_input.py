"""What photos are to another tool's int8 file, which may want them normalized and does not say how."""

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
    """How the file takes photos: with uint8 input as pixels, else in the way that
    brings the first layer nearest to the float network's.

    Args:
        program: what the file says of its input.
        images: uint8 RGB [n, H, W, 3] to try the ways on; one is enough.
        normalization: the only one to try beside plain pixels; None to try all that have a name.

    Returns:
        The way's name, and the way itself.
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
