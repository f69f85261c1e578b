"""Compares every layer of an int8 file with a float network, for `inspect`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenet.data.loading import choose, load_all
from edgenet.data.photos import open_photos
from edgenet.graph.ir import Graph, Unary
from edgenet.graph.lower import lower
from edgenet.graph.simplify import drop_final_softmax
from edgenet.progress import Progress
from edgenet.quantize.matching import Decode, decoder_from_encoding
from edgenet.quantize.noise_shares import NoiseShares, noise_shares
from edgenet.quantize.quantization_errors import LayerErrors, layer_errors
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.tflite.program import Program
from edgenet.tflite.to_graph import quantized_graph
from edgenet.workflows.advice import advise, propose_keep_float
from edgenet.workflows.sources import (
    NORMALIZATIONS,
    SourceOptions,
    open_source,
    parse_normalization,
    sized_like,
)
from edgenet.zoo.classifier import Normalization

NOISE_PHOTOS = 8
"""The noise shares need one run per layer, but few photos: they are sums over all logits."""
PIXELS = "pixels"
"""The input of a file that takes pixels; other tools' files may take normalized numbers without saying so."""


@dataclass(frozen=True)
class LayerComparisonOptions:
    """What to compare an int8 file with, and on what.

    Attributes:
        against: the float source, as `open_source` takes it.
        data: folder or zip of photos.
        photos: number of photos to use; the noise shares use the first `NOISE_PHOTOS` of them.
        source: what the float source does not say itself; a file that takes normalized numbers gets the same
            normalization.
        plot: the .png or .html file to draw, or None.
    """

    against: str
    data: Path
    photos: int
    source: SourceOptions
    plot: Path | None


@dataclass(frozen=True)
class LayerComparison:
    """How much every layer of an int8 file differs from the float network.

    Attributes:
        against: the float source.
        input: what the file's input expects: "pixels", or the normalization that matched the float network
            best.
        errors: the error of every layer.
        noise: where the noise at the logits comes from.
        advice: what to do, in plain words.
        skipped: (name, reason) of the photos that could not be read.
    """

    against: str
    input: str
    errors: LayerErrors
    noise: NoiseShares
    advice: str
    skipped: tuple[tuple[str, str], ...]


def compare_layers(
    program: Program,
    comparison: LayerComparisonOptions,
    recipe: str | None,
    progress: Progress,
) -> LayerComparison:
    """Compare a file with a float network.

    Args:
        program: the int8 file.
        recipe: the edgenet recipe that made the file, for the advice; None for another tool's file.

    Raises:
        EdgenetError: the file is not int8, the float network does not match it, or no photo can be read.
    """
    photos = choose(open_photos(comparison.data), comparison.photos)
    quantized = quantized_graph(program)
    quantized = replace(quantized, graph=drop_final_softmax(quantized.graph))
    whole = any(node.operator == Unary("hard_swish") for node in quantized.graph.nodes)
    options = sized_like(comparison.against, comparison.source, quantized.graph.size)
    source = open_source(comparison.against, options, progress).graph
    reference = lower(source, exact_border=False, whole_hard_swish=whole)
    loaded = load_all(photos, reference.size)
    name, decode = find_input(program, quantized, reference, loaded.images[:1], options.normalization)
    errors = layer_errors(
        quantized,
        reference,
        loaded.images,
        decode,
        lambda done, total: progress("comparing layers", done, total),
    )
    noise = noise_shares(
        quantized,
        reference,
        loaded.images[:NOISE_PHOTOS],
        decode,
        lambda done, total: progress("rounding one tensor at a time", done, total),
    )
    advice = advise(errors, noise, recipe, propose_keep_float(noise, quantized))
    return LayerComparison(comparison.against, name, errors, noise, advice, loaded.skipped)


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
    ways: dict[str, Decode] = {PIXELS: decoder_from_encoding(quantized.graph)}
    for name in [normalization] if normalization else NORMALIZATIONS:
        ways[name] = _normalizing(parse_normalization(name))
    name = max(ways, key=lambda way: layer_errors(quantized, reference, images, ways[way]).layers[0].sqnr_db)
    return name, ways[name]


def _normalizing(normalization: Normalization) -> Decode:
    mean, std = (np.array(values, np.float32) for values in (normalization.mean, normalization.std))
    return lambda images: (images - mean) / std
