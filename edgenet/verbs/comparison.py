"""An int8 file beside the float network it was made from: layer by layer, on photos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgenet.data import choose, load_all, open_photos
from edgenet.graph.passes.cleanup import drop_final_softmax
from edgenet.graph.passes.simplify import lower
from edgenet.progress import Progress
from edgenet.quantize.error import LayerErrors, layer_errors
from edgenet.quantize.noise_shares import NoiseShares, noise_shares
from edgenet.tflite.program import Program
from edgenet.tflite.to_graph import quantized_graph
from edgenet.verbs.advice import advise
from edgenet.verbs.foreign_input import find_input
from edgenet.verbs.sources import SourceOptions, open_source

PHOTOS = 32
NOISE_PHOTOS = 8
"""Shares of the noise take a run for every layer; they are sums over all logits, and a few photos settle them."""


@dataclass(frozen=True)
class Comparison:
    """What to compare an int8 file with.

    Attributes:
        against: a float source.
        data: photos, a folder or zip.
        photos: how many of them; the shares of the noise take the first `NOISE_PHOTOS` of these.
        plot: a .png or .html to draw, or None.
    """

    against: str
    data: Path
    photos: int = PHOTOS
    plot: Path | None = None


@dataclass(frozen=True)
class Compared:
    """What the comparison found.

    Attributes:
        against: the float source.
        input: how the file takes photos: "pixels", or the normalization that came nearest.
        errors: layer by layer.
        noise: where the noise at the logits comes from.
        advice: what to do, in plain words.
        skipped: photos that could not be read, with the reason.
    """

    against: str
    input: str
    errors: LayerErrors
    noise: NoiseShares
    advice: str
    skipped: tuple[tuple[str, str], ...]


def compare(
    program: Program, comparison: Comparison, recipe: str | None, options: SourceOptions, progress: Progress
) -> Compared:
    """Compares a file with a float network.

    Args:
        program: the int8 file.
        recipe: edgenet's that it was made with, for the advice; None for another tool's file.
        options: for opening the float source; its normalization also holds for a file that takes normalized numbers.

    Raises:
        EdgenetError: not an int8 file, a float network that does not match it, or no photo that can be read.
    """
    photos = choose(open_photos(comparison.data), comparison.photos)
    quantized = quantized_graph(program)
    quantized = replace(quantized, graph=drop_final_softmax(quantized.graph))
    reference = lower(open_source(comparison.against, options, progress).graph, exact_border=False)
    loaded = load_all(photos, reference.size[0])
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
    advice = advise(errors, noise, recipe)
    return Compared(comparison.against, name, errors, noise, advice, loaded.skipped)
