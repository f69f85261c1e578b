"""What a user can say about a float network, and what is known about it once it is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph, Shape
from edgenet.manifest import Facts
from edgenet.zoo.classifier import CENTRED, SLIM, TORCHVISION, Normalization

NORMALIZATIONS = {
    "imagenet": TORCHVISION,
    "-1..1": SLIM,
    "centred": CENTRED,
    "0..1": Normalization((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "0..255": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
FLOAT_SOURCE = (
    "give the float network it was made from: a checkpoint, an .onnx, a Keras model or a float .tflite"
)
ASK_NORMALIZATION = f"give --normalization {'|'.join(NORMALIZATIONS)}, or mean/std in 0..255 as R,G,B/R,G,B"


@dataclass(frozen=True)
class SourceOptions:
    """Facts about a float network that its file may not contain.

    Attributes:
        resolution: side of the input picture, pixels, for sources that can have any.
        normalization: for an .onnx, a Keras model, a float .tflite, a torch module, or a checkpoint that edgenet did
            not write: a name in NORMALIZATIONS, or "R,G,B/R,G,B" (mean/std in 0..255).
        labels: the class names in the order of the outputs, or a text file with one name per line.
        input_shape: for an .onnx whose input shape is not fixed.
        output: for an .onnx with several outputs, the name of the one with the class scores.
        architecture: for a checkpoint of torchvision or timm, what the network is, instead of what its tensors look
            like: a variant, an architecture, or timm's name.
    """

    resolution: int | None = None
    normalization: str | None = None
    labels: str | Path | Sequence[str] | None = None
    input_shape: Shape | None = None
    output: str | None = None
    architecture: str | None = None


@dataclass(frozen=True)
class Source:
    """A float network, simplified.

    Attributes:
        graph: the network's graph, which takes pixels and returns logits.
        labels: class names, one per output; None if neither the file nor the user names them.
        facts: where the network came from, for a bundle's manifest.
        warnings: what the user should know about it, one sentence each without a full stop.
    """

    graph: Graph
    labels: tuple[str, ...] | None
    facts: Facts
    warnings: tuple[str, ...] = ()


def parse_normalization(text: str) -> Normalization:
    """Return the normalization with this name, or the one written as "R,G,B/R,G,B" (mean/std in 0..255).

    Raises:
        EdgenetError: the text is neither.
    """
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]
    try:
        mean, std = (tuple(float(n) for n in part.split(",")) for part in text.split("/"))
        (red, green, blue), (red_std, green_std, blue_std) = mean, std
    except ValueError:
        raise EdgenetError(
            f"--normalization {text} is not a normalization",
            f"give {', '.join(NORMALIZATIONS)}, or R,G,B/R,G,B in 0..255",
        ) from None
    return Normalization((red, green, blue), (red_std, green_std, blue_std))
