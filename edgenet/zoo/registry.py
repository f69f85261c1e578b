"""The registry of variants. Their names hold architecture, width multiplier and resolution: `mobilenet_v1_0.5_160`."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass

from edgenet.errors import EdgenetError
from edgenet.zoo.architectures import ARCHITECTURES
from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import Padding
from edgenet.zoo.normalization import CENTRED, Normalization

# Limits, so that a typing error does not fill the memory.
LARGEST = 4096
WIDTHS = (0.01, 8.0)

_NAME = re.compile(r"(?P<architecture>[a-z][a-z0-9_]*?)_(?P<width>\d+(?:\.\d+)?)_(?P<resolution>\d+)")


@dataclass(frozen=True)
class Variant:
    """A network described by its architecture, width multiplier and resolution.

    Attributes:
        architecture: a key of `ARCHITECTURES`.
        width: the width multiplier.
        resolution: the side of the input, pixels.

    Raises:
        EdgenetError: the architecture is unknown, or the width or resolution is out of range.
    """

    architecture: str
    width: float
    resolution: int

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise EdgenetError(
                f'the architecture "{self.architecture}" is unknown', f"the known architectures are: {known}"
            )
        self._check_width()
        smallest = ARCHITECTURES[self.architecture].smallest
        if not smallest <= self.resolution <= LARGEST:
            raise EdgenetError(
                f"the resolution of {self.architecture} is {self.resolution}",
                f"give one from {smallest} to {LARGEST} pixels",
            )

    def _check_width(self) -> None:
        if not (math.isfinite(self.width) and WIDTHS[0] <= self.width <= WIDTHS[1]):
            raise EdgenetError(
                f"the width multiplier of {self.architecture} is {self.width}",
                f"give one from {WIDTHS[0]} to {WIDTHS[1]}; 1.0 is the paper's full width",
            )
        if not ARCHITECTURES[self.architecture].scales and self.width != 1:
            raise EdgenetError(
                f"{self.architecture} has no width multiplier, but {self.width} was given",
                f"give {self.architecture}_1.0_{self.resolution}",
            )

    @property
    def name(self) -> str:
        """The variant's name, such as `mobilenet_v1_0.5_160`, which `parse_variant` reads."""
        return f"{self.architecture}_{self.width}_{self.resolution}"


def parse_variant(name: str) -> Variant:
    """Return the variant with a name such as `mobilenet_v1_0.5_160`.

    Any width and resolution in range is accepted, not only the published ones.

    Raises:
        EdgenetError: the name has another form, the architecture is unknown (the error lists the nearest names), or the
            width or resolution is out of range.
    """
    match = _NAME.fullmatch(name.strip().lower())
    if match is None or match["architecture"] not in ARCHITECTURES:
        raise EdgenetError(f'"{name}" is not the name of a variant', _nearest(name))
    return Variant(match["architecture"], float(match["width"]), int(match["resolution"]))


def _nearest(name: str) -> str:
    names = [variant.name for variant in catalogue()]
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    if near:
        return f"the nearest names are: {', '.join(near)}"
    return f"names are ARCHITECTURE_WIDTH_RESOLUTION, such as {names[0]}; `edgenet models` lists them"


def catalogue() -> tuple[Variant, ...]:
    """Return the published variants of every architecture, in listing order: widest first, then largest first."""
    return tuple(
        Variant(name, width, resolution)
        for name, architecture in ARCHITECTURES.items()
        for width, resolution in architecture.published
    )


def build(
    variant: Variant | str,
    classes: int = 1000,
    dropout: float | None = None,
    padding: Padding = "same",
    epsilon: float = 1e-3,
    normalization: Normalization = CENTRED,
) -> Classifier:
    """Return a network with random weights, from normalized float RGB [N,3,H,W] to logits [N,classes].

    Args:
        variant: the variant or its name. Its resolution matters to only a few architectures (see
            `Architecture.one_resolution`).
        classes: the number of outputs.
        dropout: the share of the pooled features that training drops; None uses the architecture's default.
        padding: "same" (as in TensorFlow) or "symmetric" (as in torch).
        epsilon: the epsilon of batch normalization.
        normalization: the normalization that the network expects of its input. The network stores it but does not apply
            it (see `PixelNetwork`).

    Raises:
        EdgenetError: the variant is unknown or an option is out of range.
    """
    return build_with(variant, NetworkOptions(classes, dropout, padding, epsilon, normalization))


def build_with(variant: Variant | str, options: NetworkOptions) -> Classifier:
    """Return a network with random weights, like `build`, but with all options in one value."""
    if isinstance(variant, str):
        variant = parse_variant(variant)
    architecture = ARCHITECTURES[variant.architecture]
    return architecture.build(variant.width, variant.resolution, options)
