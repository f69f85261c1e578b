"""The networks with real weights: the file of each, and the options that `edgenet convert` and peers need for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.normalizations import LITE, SLIM, TORCHVISION, Normalization, as_text

SLIM_WEIGHTS = "mobilenet_v1_1.0_224_imagenet.npz"
V2_STATE, V2_ARRAYS, LITE0_ONNX = "mobilenet_v2.pth", "mobilenet_v2.npz", "efficientnet_lite0.onnx"
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
        first_class: index of the output for ImageNet's class 0.
    """

    key: str
    title: str
    source: Path
    options: tuple[str, ...]
    arrays: Path | None
    normalization: Normalization
    first_class: int


KEYS = ("v1", "v2", "lite0")


def open_network(key: str, data: Path, inputs: Path) -> Network:
    """Return a network by its key.

    Args:
        data: folder of the benchmark's data.
        inputs: folder that `benchmarks.quantizing.inputs` has filled.
    """
    if key == "v1":
        slim = data / SLIM_WEIGHTS
        return Network(key, "MobileNetV1 1.0/224 (TF-slim)", slim, (), slim, SLIM, 1)
    if key == "v2":
        state, arrays = inputs / V2_STATE, inputs / V2_ARRAYS
        return Network(key, "MobileNetV2 1.0/224 (torchvision)", state, (), arrays, TORCHVISION, 0)
    options = ("--normalization", as_text(LITE), "--labels", str(LABELS))
    return Network(key, "EfficientNet-Lite0 (PyPI)", inputs / LITE0_ONNX, options, None, LITE, 0)
