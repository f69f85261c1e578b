"""The networks with real weights: the file of each, and how `edgenet convert` and peers take it."""

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
        key: on the command line.
        title: in tables.
        source: the file that `edgenet convert` takes.
        options: what it needs to be told beside that.
        arrays: the weights as Keras' script takes them; None where it has no such network.
        normalization: what a file that takes no uint8 pixels wants its numbers to have gone through.
        first_class: the output that stands for ImageNet's class 0.
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
    """A network by its key.

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
