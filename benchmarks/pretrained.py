"""Do networks with others' ImageNet weights compute what the weights' makers compute, and what are the weights worth?

    .venv/bin/python -m benchmarks.pretrained [PART...] [--record] [--data ../shared/data]

The parts are:
torch: our networks beside timm's and torchvision's own, with random weights and statistics, from their state dicts;
keras: our networks beside Keras' own applications, read from the .h5 files that Keras writes;
tflite: the float .tflite files that TensorFlow makes of Keras' applications, read as weights, beside LiteRT's outputs;
photos: top-1 of all weights that are on this machine on the photos of imagenet-sample-500.zip, with the whole centre
square as edgenet cuts it, and with the publisher's resize and crop.
--record writes tests/zoo/peer_networks.json.gz, with which the tests compare. The first three parts make environments
of their own (1 GB for torch, 2.2 GB for Keras). What a start from a wider network is worth is in `benchmarks.cifar`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import torch
from edgenet_device.preprocess import prepare
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.environments import ROOT, python_of
from benchmarks.peers.pretrained.filling import filled, picture
from edgenet.data.photos import PhotoSet, open_photos
from edgenet.errors import EdgenetError
from edgenet.zoo.catalogue import PretrainedWeights, read_catalogue
from edgenet.zoo.checkpoint import load_tensors
from edgenet.zoo.classifier import SLIM, NetworkOptions
from edgenet.zoo.finished_files import read_folded
from edgenet.zoo.layouts import meta_network, read_layout
from edgenet.zoo.pretrained import load_pretrained, read_keras
from edgenet.zoo.registry import parse_variant
from edgenet.zoo.weights import local_file

PEERS = Path(__file__).parent / "peers" / "pretrained"
RECORD = ROOT / "tests" / "zoo" / "peer_networks.json.gz"
CLASSES = 10
TORCH = (
    *(f"timm:mobilenetv1_{width}" for width in ("100", "125")),
    *(f"timm:mobilenetv2_{width}" for width in ("050", "100", "140")),
    *(f"timm:mobilenetv3_{name}" for name in ("large_100", "small_050", "small_075", "small_100")),
    *(
        f"timm:tf_mobilenetv3_{size}_{kind}"
        for size in ("large", "small")
        for kind in ("075", "100", "minimal_100")
    ),
    *(f"timm:mobilenetv4_conv_{name}" for name in ("small", "small_050", "medium", "large")),
    "timm:efficientnet_lite0",
    *(f"timm:tf_efficientnet_lite{number}" for number in range(5)),
    "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_large",
    "torchvision:mobilenet_v3_small",
)
RECORDED_TORCH = (
    "timm:mobilenetv1_100",
    "timm:mobilenetv2_050",
    "timm:mobilenetv3_small_050",
    "timm:tf_mobilenetv3_large_075",
    "timm:tf_mobilenetv3_small_minimal_100",
    "timm:mobilenetv4_conv_small_050",
    "timm:tf_efficientnet_lite0",
    "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_small",
)
KERAS = {
    "keras:MobileNet:0.25": "mobilenet_v1_0.25_96",
    "keras:MobileNet:1.0": "mobilenet_v1_1.0_96",
    "keras:MobileNetV2:0.35": "mobilenet_v2_0.35_96",
    "keras:MobileNetV2:1.3": "mobilenet_v2_1.3_96",
    "keras:MobileNetV3Small:0.75": "mobilenet_v3_small_0.75_96",
    "keras:MobileNetV3Large:1.0": "mobilenet_v3_large_1.0_96",
    "keras:MobileNetV3Large:1.0:minimalistic": "mobilenet_v3_large_minimalistic_1.0_96",
}
RECORDED_KERAS = (
    "keras:MobileNet:0.25",
    "keras:MobileNetV2:0.35",
    "keras:MobileNetV3Small:0.75",
    "keras:MobileNetV3Large:1.0:minimalistic",
)


@dataclass(frozen=True)
class Place:
    """Where the benchmark reads and writes.

    Attributes:
        data: the folder with the data.
        work: a folder for what is made on the way.
    """

    data: Path
    work: Path


def torch_networks(place: Place) -> list[dict[str, Any]]:
    """Compare with timm's and torchvision's own modules, and return the rows to record."""
    python = python_of("pretrained_torch", PEERS / "requirements-torch.txt")
    rows = _run(python, "torch_networks.py", place.work / "torch.json", 64, TORCH)
    for row in rows:
        state = {
            name: torch.from_numpy(filled(name, tuple(shape))) if shape else torch.tensor(0)
            for name, shape in sorted(row["tensors"])
        }
        match = read_layout(state)
        if match is None:
            print(f"{row['network']}: not recognized")
            continue
        options = match.options
        if ":tf_" in row["network"]:
            options = replace(options, padding="same", epsilon=1e-3)
        network = load_tensors(match.variant, options, match.tensors, row["network"])
        _print_difference(row, match.variant.name, _logits(network, row["side"]))
    return [row for row in rows if row["network"] in RECORDED_TORCH]


def keras_networks(place: Place) -> list[dict[str, Any]]:
    """Compare with Keras' own applications, and return the rows to record."""
    rows = _keras_rows(place)
    for row in rows:
        variant, options = parse_variant(KERAS[row["network"]]), NetworkOptions(CLASSES, normalization=SLIM)
        path = place.work / "keras.h5"
        write_h5(path, row["tensors"])
        tensors = read_keras(path, meta_network(variant, options).state_dict())
        network = load_tensors(variant, options, tensors, row["network"])
        _print_difference(row, variant.name, _logits(network, row["side"]))
    return [row for row in rows if row["network"] in RECORDED_KERAS]


def tflite_files(place: Place) -> list[dict[str, Any]]:
    """Read the float .tflite files that TensorFlow makes of the same applications, and compare with their outputs."""
    for row in _keras_rows(place):
        variant, options = parse_variant(KERAS[row["network"]]), NetworkOptions(CLASSES, normalization=SLIM)
        expected = meta_network(variant, options).state_dict()
        tensors = read_folded(Path(row["tflite"]), expected, options.epsilon)
        network = load_tensors(variant, options, tensors, row["tflite"])
        _print_difference(row, f"{variant.name} (.tflite)", _logits(network, row["side"]))
    return []


def _keras_rows(place: Place) -> list[dict[str, Any]]:
    kept = place.work / "keras.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    python = python_of("keras_tflite", PEERS.parent / "keras_tflite" / "requirements.txt")
    return _run(python, "keras_networks.py", kept, 96, tuple(KERAS))


def _run(python: Path, script: str, out: Path, side: int, names: Sequence[str]) -> list[dict[str, Any]]:
    command = [str(python), str(PEERS / script), str(out), str(CLASSES), str(side), *names]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads(out.read_text())


def write_h5(path: Path, tensors: Sequence[tuple[str, Sequence[int]]]) -> None:
    """Write a file of weights as Keras does, with the values from `filling.py`."""
    with h5py.File(path, "w") as file:
        layers = list(dict.fromkeys(name.partition(" ")[0] for name, _ in tensors))
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer in layers:
            names = [name.partition(" ")[2] for name, _ in tensors if name.partition(" ")[0] == layer]
            file.create_group(layer).attrs["weight_names"] = [name.encode() for name in names]
        for name, shape in tensors:
            layer, _, weight = name.partition(" ")
            file[layer][weight] = filled(name, tuple(shape))


@torch.no_grad()
def _logits(network: nn.Module, side: int) -> Tensor:
    return network(torch.from_numpy(picture(side)))[0]


def _print_difference(row: dict[str, Any], ours: str, logits: Tensor) -> None:
    expected = torch.tensor(row["logits"])
    largest = float(expected.abs().max())
    print(
        f"{row['network']}: {ours}: {float((logits - expected).abs().max()) / largest:.1e} of {largest:.3g}"
    )


def photos(place: Place) -> list[dict[str, Any]]:
    """Print the top-1 of all weights that are on this machine."""
    found = open_photos(place.data / "imagenet-sample-500.zip")
    for entry in read_catalogue():
        if local_file(entry) is not None:
            network = load_pretrained(entry).with_pixels()
            square, cropped = (_top1(network, found, entry, cut) for cut in (whole_square, published_crop))
            print(
                f"{entry.name}: {square:.1f} % on the whole square, {cropped:.1f} % with the publisher's crop"
            )
    return []


@torch.no_grad()
def _top1(network: nn.Module, found: PhotoSet, entry: PretrainedWeights, cut: Cut) -> float:
    hits = 0
    for index, label in enumerate(found.labels):
        bgr = cv2.imdecode(np.frombuffer(found.read_bytes(index), np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None, found.names[index]
        pixels = torch.from_numpy(cut(np.asarray(bgr, np.uint8), entry)).permute(2, 0, 1)[None].float()
        hits += int(network(pixels).argmax()) == label
    return 100 * hits / len(found.labels)


Cut = Callable[[NDArray[np.uint8], PretrainedWeights], NDArray[np.uint8]]
"""Makes the network's input, uint8 RGB [R, R, 3], of a photo, uint8 BGR, for some weights."""


def whole_square(bgr: NDArray[np.uint8], entry: PretrainedWeights) -> NDArray[np.uint8]:
    """Return the centre square as edgenet cuts it everywhere."""
    return prepare(bgr, parse_variant(entry.variant).resolution)[0]


def published_crop(bgr: NDArray[np.uint8], entry: PretrainedWeights) -> NDArray[np.uint8]:
    """Return the centre of the photo, resized as the weights' publisher does for the published accuracy."""
    side, height, width = parse_variant(entry.variant).resolution, *bgr.shape[:2]
    scale = entry.resize / min(height, width)
    size = (max(round(width * scale), entry.resize), max(round(height * scale), entry.resize))
    resample = Image.Resampling.BICUBIC if entry.interpolation == "bicubic" else Image.Resampling.BILINEAR
    resized = np.asarray(Image.fromarray(bgr[:, :, ::-1]).resize(size, resample))
    top, left = (resized.shape[0] - side) // 2, (resized.shape[1] - side) // 2
    return np.ascontiguousarray(resized[top : top + side, left : left + side])


PARTS: dict[str, Callable[[Place], list[dict[str, Any]]]] = {
    "torch": torch_networks,
    "keras": keras_networks,
    "tflite": tflite_files,
    "photos": photos,
}


def main() -> int:
    """Run the parts, and write the record if it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--record", action="store_true", help="write the logits with which the tests compare")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    if options.record and not {"torch", "keras"} <= set(options.parts):
        parser.error("--record needs the parts torch and keras")
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as work:
            place = Place(options.data, Path(work))
            rows = [row for part in options.parts for row in PARTS[part](place)]
    except EdgenetError as error:
        print(error, file=sys.stderr)
        return 1
    if options.record:
        kept = [{name: value for name, value in row.items() if name != "tflite"} for row in rows]
        RECORD.write_bytes(gzip.compress(json.dumps(kept, separators=(",", ":")).encode(), 9, mtime=0))
        print(f"wrote {RECORD}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
