"""The architectures by name: how to build each one, and its published variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from edgenet.zoo import alexnet, inception_v3, mobilenet_v3, mobilenet_v4, squeezenet, vgg16, xception
from edgenet.zoo.alexnet import AlexNet
from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.googlenet import GoogLeNet
from edgenet.zoo.inception_v3 import InceptionV3
from edgenet.zoo.mobilenet_v1 import MobileNetV1
from edgenet.zoo.mobilenet_v1_compared import FullMobileNet, ShallowMobileNet
from edgenet.zoo.mobilenet_v2 import MobileNetV2
from edgenet.zoo.mobilenet_v3 import Design, MobileNetV3
from edgenet.zoo.mobilenet_v4 import MobileNetV4Conv, Row
from edgenet.zoo.squeezenet import SqueezeNet
from edgenet.zoo.vgg16 import VGG16
from edgenet.zoo.xception import Xception

# A function from width multiplier, resolution and options to a network.
Build = Callable[[float, int, NetworkOptions], Classifier]
Published = tuple[tuple[float, int], ...]

# Most networks here halve the resolution five times, so smaller inputs would leave some layers empty.
SMALLEST = 32
COMPARED = "compared with MobileNetV1"


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


def _v3(design: Design, published: Published) -> Architecture:
    return Architecture(
        lambda width, _, options: MobileNetV3(design, width, options), published, "MobileNetV3"
    )


def _v4(rows: tuple[Row, ...], published: Published) -> Architecture:
    return Architecture(
        lambda width, _, options: MobileNetV4Conv(rows, width, options), published, "MobileNetV4"
    )


def _compared(
    build: Callable[[int, NetworkOptions], Classifier],
    resolution: int,
    smallest: int = SMALLEST,
    one_resolution: bool = False,
) -> Architecture:
    """Return one of the architectures without a width multiplier that MobileNetV1 is compared with."""
    return Architecture(
        lambda _, size, options: build(size, options),
        ((1.0, resolution),),
        COMPARED,
        smallest,
        scales=False,
        one_resolution=one_resolution,
    )


_V3_WIDTHS = ((1.0, 224), (0.75, 224))

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "mobilenet_v1": Architecture(
            lambda width, _, options: MobileNetV1(width, options),
            _grid((1.0, 0.75, 0.5, 0.25), (224, 192, 160, 128)),
            "MobileNetV1",
        ),
        "mobilenet_v2": Architecture(
            lambda width, _, options: MobileNetV2(width, options),
            _grid((1.4, 1.0, 0.75, 0.5, 0.35), (224, 192, 160, 128, 96)),
            "MobileNetV2",
        ),
        "mobilenet_v3_large": _v3(mobilenet_v3.LARGE, _V3_WIDTHS),
        "mobilenet_v3_large_minimalistic": _v3(mobilenet_v3.LARGE_MINIMALISTIC, ((1.0, 224),)),
        "mobilenet_v3_small": _v3(mobilenet_v3.SMALL, _V3_WIDTHS),
        "mobilenet_v3_small_minimalistic": _v3(mobilenet_v3.SMALL_MINIMALISTIC, ((1.0, 224),)),
        "mobilenet_v4_conv_small": _v4(mobilenet_v4.SMALL, ((1.0, 224),)),
        "mobilenet_v4_conv_medium": _v4(mobilenet_v4.MEDIUM, ((1.0, 256), (1.0, 224))),
        "mobilenet_full": Architecture(
            lambda width, _, options: FullMobileNet(width, options),
            ((1.0, 224),),
            COMPARED,
        ),
        "mobilenet_shallow": Architecture(
            lambda width, _, options: ShallowMobileNet(width, options),
            ((1.0, 224),),
            COMPARED,
        ),
        "alexnet": _compared(AlexNet, alexnet.RESOLUTION, alexnet.SMALLEST, one_resolution=True),
        "squeezenet": _compared(lambda _, options: SqueezeNet(options), 227, squeezenet.SMALLEST),
        "googlenet": _compared(lambda _, options: GoogLeNet(options), 224),
        "vgg16": _compared(VGG16, vgg16.RESOLUTION, one_resolution=True),
        "inception_v3": _compared(
            lambda _, options: InceptionV3(options), inception_v3.RESOLUTION, inception_v3.SMALLEST
        ),
        "xception": _compared(lambda _, options: Xception(options), xception.RESOLUTION),
    }
)
