"""The registry of networks: every architecture by name, and its variants, such as `mobilenet_v1_0.5_160`.

A variant's name holds its architecture, width multiplier and resolution. `ARCHITECTURES`, at the end, says how each
network is built and which variants are published.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from edgenet.errors import EdgenetError, one_line
from edgenet.zoo import efficientnet_lite, mobilenet_v3, mobilenet_v4
from edgenet.zoo.classic import VGG16, AlexNet, GoogLeNet, InceptionV3, SqueezeNet, Xception
from edgenet.zoo.classifier import CENTRED, Classifier, NetworkOptions, Normalization, Padding
from edgenet.zoo.efficientnet_lite import EfficientNetLite
from edgenet.zoo.mobilenet_v1 import FullMobileNet, MobileNetV1, ShallowMobileNet
from edgenet.zoo.mobilenet_v2 import MobileNetV2
from edgenet.zoo.mobilenet_v3 import Design, MobileNetV3
from edgenet.zoo.mobilenet_v4 import MobileNetV4Conv

# Limits, so that a typing error does not fill the memory.
LARGEST = 4096
WIDTHS = (0.01, 8.0)


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


_NAME = re.compile(r"(?P<architecture>[a-z][a-z0-9_]*?)_(?P<width>\d+(?:\.\d+)?)_(?P<resolution>\d{1,9})")


def parse_variant(name: str) -> Variant:
    """Return the variant with a name such as `mobilenet_v1_0.5_160`.

    Any width and resolution in range is accepted, not only the published ones.

    Raises:
        EdgenetError: the name has another form, the architecture is unknown (the error lists the nearest names), or the
            width or resolution is out of range.
    """
    match = _NAME.fullmatch(name.strip().lower())
    if match is None or match["architecture"] not in ARCHITECTURES:
        raise EdgenetError(f'"{one_line(name, 80)}" is not the name of a variant', _nearest(name))
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


# A function from width multiplier, resolution and options to a network.
Build = Callable[[float, int, NetworkOptions], Classifier]
# Pairs of width multiplier and resolution.
Published = tuple[tuple[float, int], ...]
# Most networks here halve the resolution five times, so smaller inputs would leave some layers empty.
SMALLEST = 32


@dataclass(frozen=True)
class Architecture:
    """How the networks of one name are built.

    Attributes:
        build: builds a network from width multiplier, resolution and options.
        published: width multipliers and resolutions of the published variants, in listing order.
        family: the heading in listings.
        smallest: the smallest resolution at which every layer still has an input.
        scales: whether the architecture has a width multiplier.
        one_resolution: whether weights fit only the resolution that the network was built for.
    """

    build: Build
    published: Published
    family: str
    smallest: int = SMALLEST
    scales: bool = True
    one_resolution: bool = False


def _grid(widths: tuple[float, ...], resolutions: tuple[int, ...]) -> Published:
    return tuple(product(widths, resolutions))


def _v3(design: Design, *widths: float) -> Architecture:
    published = _grid(widths, (224,))
    return Architecture(
        lambda width, _, options: MobileNetV3(design, width, options), published, "MobileNetV3"
    )


def _v4(design: mobilenet_v4.Design, *resolutions: int) -> Architecture:
    published = _grid((1.0,), resolutions)
    return Architecture(
        lambda width, _, options: MobileNetV4Conv(design, width, options), published, "MobileNetV4"
    )


def _lite(size: efficientnet_lite.Size) -> Architecture:
    return Architecture(
        lambda width, _, options: EfficientNetLite(size, options),
        ((1.0, size.resolution),),
        "EfficientNet-Lite",
        scales=False,
    )


def _compared(
    build: Build, resolution: int, smallest: int = SMALLEST, one_resolution: bool = False
) -> Architecture:
    """Return one of the classic architectures, which have no width multiplier and one published resolution."""
    return Architecture(build, ((1.0, resolution),), COMPARED, smallest, False, one_resolution)


# The heading of the networks that the MobileNetV1 paper compares its own with.
COMPARED = "compared with MobileNetV1"
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "mobilenet_v1": Architecture(
            lambda width, _, options: MobileNetV1(width, options),
            _grid((1.0, 0.75, 0.5, 0.25), (224, 192, 160, 128)),
            "MobileNetV1",
        ),
        "mobilenet_v2": Architecture(
            lambda width, _, options: MobileNetV2(width, options),
            (
                *_grid((1.4,), (224, 192, 160, 128, 96)),
                (1.3, 224),
                *_grid((1.0, 0.75, 0.5, 0.35), (224, 192, 160, 128, 96)),
            ),
            "MobileNetV2",
        ),
        "mobilenet_v3_large": _v3(mobilenet_v3.LARGE, 1.0, 0.75),
        "mobilenet_v3_large_minimalistic": _v3(mobilenet_v3.LARGE_MINIMALISTIC, 1.0),
        "mobilenet_v3_small": _v3(mobilenet_v3.SMALL, 1.0, 0.75),
        "mobilenet_v3_small_minimalistic": _v3(mobilenet_v3.SMALL_MINIMALISTIC, 1.0),
        "mobilenet_v4_conv_small": _v4(mobilenet_v4.SMALL, 224),
        "mobilenet_v4_conv_medium": _v4(mobilenet_v4.MEDIUM, 256, 224),
        "mobilenet_v4_conv_large": _v4(mobilenet_v4.LARGE, 384, 256),
        **{f"efficientnet_lite{n}": _lite(size) for n, size in enumerate(efficientnet_lite.SIZES)},
        "mobilenet_full": Architecture(
            lambda width, _, options: FullMobileNet(width, options), ((1.0, 224),), COMPARED
        ),
        "mobilenet_shallow": Architecture(
            lambda width, _, options: ShallowMobileNet(width, options), ((1.0, 224),), COMPARED
        ),
        "alexnet": _compared(lambda _, size, options: AlexNet(size, options), 227, 67, one_resolution=True),
        "squeezenet": _compared(lambda _, size, options: SqueezeNet(options), 227, 35),
        "googlenet": _compared(lambda _, size, options: GoogLeNet(options), 224),
        "vgg16": _compared(lambda _, size, options: VGG16(size, options), 224, one_resolution=True),
        "inception_v3": _compared(lambda _, size, options: InceptionV3(options), 299, 75),
        "xception": _compared(lambda _, size, options: Xception(options), 299),
    }
)
