"""A real network that is very fast: MobileNetV1 0.25 at 64 pixels with random weights and 5 classes.

Random weights say nothing about accuracy; they serve tests of what must hold for any weights.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import torch
from torch import nn

from edgenet.assets import calibration_photos
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.graph.executor import run
from edgenet.workflows.sources import SourceOptions, open_source
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.registry import Variant, build

LABELS = ("daisy", "dandelion", "rose", "sunflower", "tulip")
RESOLUTION = 64
PHOTOS = calibration_photos()


def small_network(
    architecture: str = "mobilenet_v1", width: float = 0.25, seed: int = 0, resolution: int = RESOLUTION
) -> LoadedNetwork:
    """Return the network; its batch normalization has seen noise, and its logits differ from picture to picture."""
    variant = Variant(architecture, width, resolution)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        module = build(variant, classes=len(LABELS)).train()
        norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
        for layer in norms:
            layer.momentum = None  # the plain average: nothing is left of the statistics it began with
        for _ in range(2 if norms else 0):
            module(torch.randn(16, 3, resolution, resolution))
        module.classifier.weight.normal_()
    origin, licence = "random weights", "Apache-2.0"
    return LoadedNetwork(module.eval(), variant, LABELS, module.normalization, origin, licence)


def save_small_checkpoint(path: Path, architecture: str = "mobilenet_v1", width: float = 0.25) -> Path:
    """Save the network as a checkpoint of edgenet."""
    save_checkpoint(path, small_network(architecture, width))
    return path


def save_small_onnx(path: Path, dynamic_batch: bool = False) -> Path:
    """Export the network as another user would: it takes normalized RGB and has no labels."""
    return save_onnx_of(small_network().module, path, dynamic_batch)


def save_onnx_of(module: nn.Module, path: Path, dynamic_batch: bool = False) -> Path:
    """Export a network of this size as another user would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its deprecation
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, RESOLUTION, RESOLUTION),),
            str(path),
            dynamo=False,
            input_names=["image"],
            dynamic_axes={"image": {0: "batch"}} if dynamic_batch else None,
        )
    return path


def label_by_float(source: Path, root: Path) -> Path:
    """Make class folders with every photo of calibration_data in the folder of the float network's answer."""
    graph = open_source(str(source), SourceOptions()).graph
    loaded = load_all(open_photos(PHOTOS), graph.size[0])
    for name, best in zip(loaded.names, run(graph, loaded.images).argmax(axis=1), strict=True):
        place = root / LABELS[best]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PHOTOS / name, place / name)
    return root
