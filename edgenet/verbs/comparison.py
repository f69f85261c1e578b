"""Compares an int8 file with the float network that it was made from, layer by layer, on photos."""

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
from edgenet.verbs.float_advice import worth_float
from edgenet.verbs.foreign_input import find_input
from edgenet.verbs.sources import SourceOptions, open_source

PHOTOS = 32
NOISE_PHOTOS = 8
"""The noise shares need one run per layer, but few photos: they are sums over all logits."""


@dataclass(frozen=True)
class Comparison:
    """What to compare an int8 file with, and on what.

    Attributes:
        against: the float source, as `open_source` takes it.
        data: folder or zip of photos.
        photos: number of photos to use; the noise shares use the first `NOISE_PHOTOS` of them.
        plot: the .png or .html file to draw, or None.
    """

    against: str
    data: Path
    photos: int = PHOTOS
    plot: Path | None = None


@dataclass(frozen=True)
class Compared:
    """The result of `compare`.

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


def compare(
    program: Program, comparison: Comparison, recipe: str | None, options: SourceOptions, progress: Progress
) -> Compared:
    """Compare a file with a float network.

    Args:
        program: the int8 file.
        recipe: the edgenet recipe that made the file, for the advice; None for another tool's file.
        options: for opening the float source; a file that takes normalized numbers gets the same
            normalization.

    Raises:
        EdgenetError: the file is not int8, the float network does not match it, or no photo can be read.
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
    advice = advise(errors, noise, recipe, worth_float(noise, quantized))
    return Compared(comparison.against, name, errors, noise, advice, loaded.skipped)
