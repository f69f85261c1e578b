"""The variants by their names: `mobilenet_v1_0.5_160` is architecture, width multiplier, resolution."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgenet.errors import EdgenetError
from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import Padding
from edgenet.zoo.mobilenet_v1 import MobileNetV1
from edgenet.zoo.mobilenet_v2 import MobileNetV2
from edgenet.zoo.normalization import CENTRED, Normalization

# Below, V1 and V2 have no pixels left to convolve; above, and wider, a slip of the pen would fill the memory.
RESOLUTIONS = (32, 4096)
WIDTHS = (0.01, 8.0)

_NAME = re.compile(r"(?P<architecture>[a-z][a-z0-9_]*?)_(?P<width>\d+(?:\.\d+)?)_(?P<resolution>\d+)")


@dataclass(frozen=True)
class Architecture:
    """How a family of networks is built, and which members its paper published.

    Attributes:
        build: makes one from its width multiplier and options.
        widths: the published width multipliers, widest first.
        resolutions: the published resolutions, largest first.
    """

    build: Callable[[float, NetworkOptions], Classifier]
    widths: tuple[float, ...]
    resolutions: tuple[int, ...]


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "mobilenet_v1": Architecture(MobileNetV1, (1.0, 0.75, 0.5, 0.25), (224, 192, 160, 128)),
        "mobilenet_v2": Architecture(MobileNetV2, (1.4, 1.0, 0.75, 0.5, 0.35), (224, 192, 160, 128, 96)),
    }
)


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
        if not (math.isfinite(self.width) and WIDTHS[0] <= self.width <= WIDTHS[1]):
            raise EdgenetError(
                f"the width multiplier of {self.architecture} is {self.width}",
                f"give one from {WIDTHS[0]} to {WIDTHS[1]}; 1.0 is the paper's full width",
            )
        if not RESOLUTIONS[0] <= self.resolution <= RESOLUTIONS[1]:
            raise EdgenetError(
                f"the resolution of {self.architecture} is {self.resolution}",
                f"give one from {RESOLUTIONS[0]} to {RESOLUTIONS[1]} pixels",
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
        for width in architecture.widths
        for resolution in architecture.resolutions
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
        variant: or its name. The resolution does not change the weights.
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
    return ARCHITECTURES[variant.architecture].build(variant.width, options)
