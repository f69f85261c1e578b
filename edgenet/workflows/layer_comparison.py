"""Compares every layer of an int8 file with a float network, for `inspect`, and says what to do about the errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
from edgenet.quantize.noise_shares import LayerShare, NoiseShares, noise_shares
from edgenet.quantize.quantization_errors import OUTLIER, ChannelUse, LayerError, LayerErrors, layer_errors
from edgenet.quantize.quantized_graph import QuantizedGraph, float_layers, layers_around, weighted_layers
from edgenet.tflite.program import Program
from edgenet.tflite.to_graph import quantized_graph
from edgenet.workflows.mixed_precision import AUTO, MOST_LAYERS, MOST_MULT_ADDS, layer_costs
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
NOTHING_IN_COMMON_DB = 3.0
GOOD_SQNR_DB = 20.0
"""Logits' SQNR at or above which there is nothing to advise."""
SATURATED = 0.01
FEW_BITS = 5.0
LITTLE_RANGE = 0.5
ALONE = 0.15
"""Share of the noise at or above which a single layer is named."""
BEST = "best"
"""The recipe that loses the least accuracy."""


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


def advise(errors: LayerErrors, noise: NoiseShares, recipe: str | None, keep_float: str = "") -> str:
    """Say in plain words what the figures mean and what to do.

    Args:
        errors: the error of every layer.
        noise: where the noise at the logits comes from.
        recipe: the edgenet recipe that made the file; None for another tool's file.
        keep_float: value for --keep-float that `worth_float` proposes, or "".
    """
    if noise.sqnr_db < NOTHING_IN_COMMON_DB:
        return (
            f"The file's answers have little in common with the float network's ({_db(noise.sqnr_db)}): it was "
            "made from another network, or expects pixels in another normalization (see --normalization)."
        )
    worst = max(noise.layers, key=lambda layer: layer.total)
    if noise.sqnr_db >= GOOD_SQNR_DB:
        well = "" if errors.saturated else "All is well: "
        found = f"{_agreement(errors)}, and the logits' SQNR is {_db(noise.sqnr_db)}; {_most(worst)}"
        return f"{well}{found}{_cut_off(errors)}"
    by_node = {error.node: error for error in errors.layers}
    remedy = _remedy(worst, by_node, recipe, keep_float)
    return f"{_loss(noise)}{_worst(worst, noise, by_node)} {remedy}{_cut_off(errors)}"


def _cut_off(errors: LayerErrors) -> str:
    if not errors.saturated:
        return ""
    return (
        f" Logits saturate on {errors.saturated} of {errors.photos} photos, so that classes of which the network is "
        "sure may tie: convert again with calibration photos that it is as sure of."
    )


def _agreement(errors: LayerErrors) -> str:
    return f"{errors.same_answer} of {errors.photos} answers match the float network's"


def _most(worst: LayerShare) -> str:
    if worst.total < ALONE:
        return "no layer stands out."
    return f"the largest share of the noise ({worst.total:.0%}) comes from {worst.name}."


def _loss(noise: NoiseShares) -> str:
    name, share = "activations", noise.activations
    if noise.weights > noise.activations:
        name, share = "weights", noise.weights
    return f"Most of the loss ({share:.0%}) is in the {name}"


def _worst(worst: LayerShare, noise: NoiseShares, by_node: Mapping[str, LayerError]) -> str:
    if noise.hidden:
        return "; in an equalized file it cannot be traced to single layers."
    if worst.total < ALONE:
        return " and is spread over many layers."
    if worst.of_weights:
        return f"; {worst.name}'s weights alone cause {worst.weights:.0%}."
    cause = _cause(by_node.get(worst.node))
    return f"; {worst.name}'s output alone causes {worst.activations:.0%}{cause}."


def _cause(error: LayerError | None) -> str:
    """Say why rounding this tensor costs so much; "" if the figures do not show it."""
    if error is None or error.channels is None:
        return ""
    if error.saturated is not None and error.saturated > SATURATED:
        return f": {error.saturated:.1%} of its values lie outside its range"
    if error.range_used is not None and error.range_used < LITTLE_RANGE:
        return f": these photos use only {error.range_used:.0%} of its range"
    return _cause_in_channels(error.channels)


def _cause_in_channels(channels: ChannelUse) -> str:
    if channels.outliers:
        return (
            f": {channels.outliers} of its {channels.channels} channels reach more than {OUTLIER:g} times as far as "
            f"the median, up to {channels.reach:.0f} times"
        )
    if channels.median_bits < FEW_BITS:
        return f": its channels differ so much that the median one uses only {channels.median_bits:.1f} bits"
    return ""


def _remedy(worst: LayerShare, by_node: Mapping[str, LayerError], recipe: str | None, keep_float: str) -> str:
    error = by_node.get(worst.node) if worst.total >= ALONE else None
    if error is not None and (error.saturated or 0) > SATURATED:
        return "Convert again with more calibration photos, like those the camera will see."
    if recipe is None:  # another tool's layer names mean nothing to edgenet's --keep-float
        return f"Convert the float network with edgenet and --recipe {BEST}."
    if recipe != BEST:
        return f"Convert again with --recipe {BEST}."
    if keep_float:
        return f"As a last resort, convert again with --keep-float {keep_float}: edgenet reports its gain and its cost."
    return "edgenet has no recipe that loses less."


def _db(value: float) -> str:
    return f"{value:.1f} dB"


def propose_keep_float(noise: NoiseShares, quantized: QuantizedGraph) -> str:
    """Return a value for --keep-float that spares the largest parts of the noise: layers' names, or "auto".

    The names include those of layers that are already float.

    The noise of weights disappears when their layer is float. The noise of a tensor disappears only when all
    layers around the tensor are float; "auto" does not find such groups, because it adds layers one by one.

    Returns:
        "" if the noise is spread over many layers, or if removing it would keep more layers or mult-adds in
        float than "auto" would; "auto" if the noise comes from the weights of several layers, or if only
        trying can show which layers it comes from.
    """
    standing_out = sorted(
        (layer for layer in noise.layers if layer.total >= ALONE), key=lambda layer: -layer.total
    )
    if noise.hidden or (len(standing_out) > 1 and all(layer.of_weights for layer in standing_out)):
        return AUTO
    already = kept = set(float_layers(quantized))
    for layer in standing_out:
        together = kept | _to_spare(layer, quantized)
        if _few(together, quantized):
            kept = together
    if kept == already:
        return ""
    return ",".join(name for name in weighted_layers(quantized.graph) if name in kept)


def _to_spare(layer: LayerShare, quantized: QuantizedGraph) -> set[str]:
    return {layer.node} if layer.of_weights else set(layers_around(quantized.graph, layer.node))


def _few(layers: Collection[str], quantized: QuantizedGraph) -> bool:
    costs = layer_costs(quantized)
    return len(layers) <= MOST_LAYERS and sum(costs[name].mult_adds for name in layers) <= MOST_MULT_ADDS
