"""Opens an .onnx classifier of any maker."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.graph.fold import own_scaling
from edgenet.graph.ir import Graph
from edgenet.graph.simplify import simplify
from edgenet.manifest import Facts, Weights
from edgenet.workflows.source_options import (
    ASK_NORMALIZATION,
    NORMALIZATIONS,
    Source,
    SourceOptions,
    parse_normalization,
)
from edgenet.zoo.classifier import Normalization


def open_onnx(path: Path, options: SourceOptions) -> Source:
    """Open an .onnx file.

    Raises:
        EdgenetError: the file cannot be read (see `read_onnx`), or it does not say what its pixels went through in
            training and the user does not either.
    """
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "check the path")
    if options.resolution is not None:
        raise EdgenetError(
            "an .onnx has its own resolution", "leave out --resolution, or export at another one"
        )
    from edgenet.graph.onnx_reader import read_onnx, takes_bytes

    read = read_onnx(path, options.input_shape, options.output)
    normalization, warnings = _normalization(path, read, options, takes_bytes(path))
    graph = simplify(read, normalization)
    weights = Weights(path.name, "not stated by the file", sha256(path))
    return Source(graph, None, Facts(path.stem, weights, resolution=graph.size[0]), warnings)


def _normalization(
    path: Path, graph: Graph, options: SourceOptions, takes_bytes: bool
) -> tuple[Normalization, tuple[str, ...]]:
    """Return the normalization, and a note if it was found in the network itself."""
    if options.normalization is not None:
        return parse_normalization(options.normalization), ()
    pixels = "0..255" if takes_bytes else embedded_range(graph)
    if pixels is None:
        raise EdgenetError(f"{path} does not say what its pixels went through in training", ASK_NORMALIZATION)
    note = (
        "takes uint8 pixels"
        if takes_bytes
        else "normalizes its pixels itself, with the mean and deviation of pixels from "
        f"{pixels.replace('..', ' to ')}"
    )
    return NORMALIZATIONS[pixels], (f"{path} {note}: it is given them as --normalization {pixels}",)


def embedded_range(graph: Graph) -> str | None:
    """Return the range of pixels that a network expects which begins with its own normalization.

    The mean and the deviation of photos are known well enough to tell the two ranges apart: about 0.45 and 0.25 in
    0..1, about 115 and 60 in 0..255.

    Returns:
        "0..1", "0..255", or None if the network does not begin with a normalization, or with an odd one.
    """
    scaling = own_scaling(graph)
    if scaling is None or not np.all(scaling.scale > 0):
        return None
    mean, deviation = -scaling.offset / scaling.scale, 1 / scaling.scale
    if not np.any(scaling.offset):
        return "0..255" if np.all(np.abs(deviation - 255) < 2) else None
    for pixels, largest in (("0..1", 1.0), ("0..255", 255.0)):
        usual = np.all((mean > 0.25 * largest) & (mean < 0.65 * largest))
        if usual and np.all((deviation >= 0.1 * largest) & (deviation <= largest) | (deviation == 1)):
            return pixels
    return None
