"""The variants by their names: `mobilenet_v1_0.5_160` is architecture, width multiplier, resolution."""

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

# Beyond these, a slip of the pen would fill the memory.
LARGEST = 4096
WIDTHS = (0.01, 8.0)

_NAME = re.compile(r"(?P<architecture>[a-z][a-z0-9_]*?)_(?P<width>\d+(?:\.\d+)?)_(?P<resolution>\d+)")


@dataclass(frozen=True)
class Variant:
    """One network by its architecture, width multiplier and resolution (pixels a side)."""

    architecture: str
    width: float
    resolution: int

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise EdgenetError(
                f'the architecture "{self.architecture}" is unknown', f"the known are: {known}"
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
                f"{self.architecture} has no width multiplier, and {self.width} was asked for",
                f"give {self.architecture}_1.0_{self.resolution}",
            )

    @property
    def name(self) -> str:
        """The field's name, which `parse_variant` reads."""
        return f"{self.architecture}_{self.width}_{self.resolution}"


def parse_variant(name: str) -> Variant:
    """Reads a name such as `mobilenet_v1_0.5_160`; any width and resolution in range, not only the published.

    Raises:
        EdgenetError: no such architecture, or not a name of this form; lists the nearest names.
    """
    match = _NAME.fullmatch(name.strip().lower())
    if match is None or match["architecture"] not in ARCHITECTURES:
        raise EdgenetError(f'"{name}" is not the name of a variant', _nearest(name))
    return Variant(match["architecture"], float(match["width"]), int(match["resolution"]))


def _nearest(name: str) -> str:
    names = [variant.name for variant in catalogue()]
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    if near:
        return f"the nearest are: {', '.join(near)}"
    return f"names are ARCHITECTURE_WIDTH_RESOLUTION, such as {names[0]}; `edgenet models` lists them"


def catalogue() -> tuple[Variant, ...]:
    """The published variants of every architecture, widest first, then largest first."""
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
    """A network with fresh weights; normalized float RGB [N,3,H,W] to logits [N,classes].

    Args:
        variant: or its name. The resolution changes the weights of few (see `Architecture.one_resolution`).
        dropout: share of the pooled features dropped while training; None is the architecture's own.
        padding: "same" (TensorFlow) or "symmetric" (torch).
        epsilon: of batch normalization.
        normalization: what the input has been through; carried along, not applied (see `PixelNetwork`).
    """
    return build_with(variant, NetworkOptions(classes, dropout, padding, epsilon, normalization))


def build_with(variant: Variant | str, options: NetworkOptions) -> Classifier:
    """Like `build`, from options that travelled as one value."""
    if isinstance(variant, str):
        variant = parse_variant(variant)
    architecture = ARCHITECTURES[variant.architecture]
    return architecture.build(variant.width, variant.resolution, options)
