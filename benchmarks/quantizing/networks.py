"""The networks with real weights: the file of each, its photos, and the options that `edgenet convert` and peers need.

Those of `IMAGENET` name ImageNet's classes and share the 500 photos. Those of `OWN` were trained on other photos and
classes, and are judged on photos of that kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.normalizations import LITE, SLIM, TORCHVISION, Normalization, as_text

SLIM_WEIGHTS = "mobilenet_v1_1.0_224_imagenet.npz"
SLIM_QUARTER = "mobilenet_v1_0.25_224_1_metadata_1.tflite"
V2_STATE, V2_ARRAYS, LITE0_ONNX = "mobilenet_v2.pth", "mobilenet_v2.npz", "efficientnet_lite0.onnx"
LITE1_STATE, LITE2_STATE = "efficientnet-lite1-77cc7160.pth", "efficientnet-lite2-9656183e.pth"
LABELS = ROOT / "edgenet" / "zoo" / "imagenet_labels.txt"


@dataclass(frozen=True)
class Network:
    """One float network.

    Attributes:
        key: its name on the command line.
        title: its name in tables.
        source: the file that `edgenet convert` takes.
        options: further options of `edgenet convert` for it.
        arrays: the weights as Keras' script takes them; None if Keras has no such network.
        normalization: normalization of the input of files that do not take uint8 pixels.
        first_class: index of the output for the photos' class 0.
        photos: folder with the photos at its resolution; see `benchmarks.quantizing.inputs`.
    """

    key: str
    title: str
    source: Path
    options: tuple[str, ...]
    arrays: Path | None
    normalization: Normalization
    first_class: int
    photos: Path


STANDARD = ("v1", "v2", "lite0")
RESOLUTIONS = dict.fromkeys(STANDARD, 224) | {"v1-0.25": 224, "lite1": 240, "lite2": 260}
"""Side of the input, in pixels, of each network of ImageNet's classes."""
IMAGENET = tuple(RESOLUTIONS)


@dataclass(frozen=True)
class OwnNetwork:
    """A network with classes of its own.

    Attributes:
        photo_set: its set in `benchmarks.classifying.photo_sets`.
        variant: the network that is trained on CIFAR-10 from random weights; None for MobileNetV2 1.0/96 with ImageNet
            weights, to which `edgenet train --no-finetune` gives a linear head.
        title: its name in tables.
    """

    photo_set: str
    variant: str | None
    title: str


OWN = {
    "superclasses": OwnNetwork("superclasses", None, "MobileNetV2 1.0/96 with a head for five superclasses"),
    "hand-signs": OwnNetwork("hand-signs", None, "MobileNetV2 1.0/96 with a head for hand signs"),
    "cifar10-v1": OwnNetwork("cifar10", "mobilenet_v1_0.25_48", "MobileNetV1 0.25/48, trained on CIFAR-10"),
    "cifar10-v2": OwnNetwork("cifar10", "mobilenet_v2_0.35_48", "MobileNetV2 0.35/48, trained on CIFAR-10"),
}
KEYS = (*IMAGENET, *OWN)


def photo_folder(inputs: Path, resolution: int) -> Path:
    """Return the folder of ImageNet's photos at a resolution."""
    return inputs / f"photos-{resolution}"


def own_folder(inputs: Path, key: str) -> Path:
    """Return the folder of a network of `OWN` and of everything that it is made from."""
    return inputs / key


def own_source(inputs: Path, key: str) -> Path:
    """Return the checkpoint of a network of `OWN`."""
    return own_folder(inputs, key) / "network.safetensors"


def own_photos(inputs: Path, key: str) -> Path:
    """Return the folder of the photos that calibrate and judge a network of `OWN`."""
    return own_folder(inputs, key) / "photos"


def open_network(key: str, data: Path, inputs: Path) -> Network:
    """Return a network by its key.

    Args:
        data: folder of the benchmark's data.
        inputs: folder that `benchmarks.quantizing.inputs` has filled.
    """
    if key in OWN:
        own = OWN[key]
        known = SLIM if own.variant else TORCHVISION
        return Network(key, own.title, own_source(inputs, key), (), None, known, 0, own_photos(inputs, key))
    photos = photo_folder(inputs, RESOLUTIONS[key])
    if key == "v1":
        slim = data / SLIM_WEIGHTS
        return Network(key, "MobileNetV1 1.0/224 (TF-slim)", slim, (), slim, SLIM, 1, photos)
    if key == "v1-0.25":
        title = "MobileNetV1 0.25/224 (TF-slim's .tflite)"
        return Network(key, title, inputs / SLIM_QUARTER, (), None, SLIM, 1, photos)
    if key == "v2":
        state, arrays = inputs / V2_STATE, inputs / V2_ARRAYS
        return Network(key, "MobileNetV2 1.0/224 (torchvision)", state, (), arrays, TORCHVISION, 0, photos)
    if key == "lite0":
        options = ("--normalization", as_text(LITE), "--labels", str(LABELS))
        return Network(key, "EfficientNet-Lite0 (PyPI)", inputs / LITE0_ONNX, options, None, LITE, 0, photos)
    state = inputs / {"lite1": LITE1_STATE, "lite2": LITE2_STATE}[key]
    title = f"EfficientNet-{key.capitalize()} (PyPI)"
    return Network(key, title, state, (), None, LITE, 0, photos)
