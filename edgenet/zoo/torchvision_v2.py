"""Loads torchvision's MobileNetV2 weights (a state dict in a .pth file) into our module."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.labels import labels_for
from edgenet.zoo.loaded import LICENCE_UNKNOWN, LoadedNetwork, infer_width, load_tensors
from edgenet.zoo.mobilenet_v2 import bottleneck_shapes, channel_plan
from edgenet.zoo.normalization import TORCHVISION
from edgenet.zoo.registry import Variant
from edgenet.zoo.weights import TORCHVISION_V2

EPSILON = 1e-5
RESOLUTION = 224


def layer_names() -> dict[str, str]:
    """Return a map from torchvision's name of each layer with weights to our name."""
    names = {"features.0.0": "features.0.conv", "features.0.1": "features.0.norm"}
    shapes = bottleneck_shapes()
    for index, (expansion, _) in enumerate(shapes, start=1):
        activated = ("depthwise",) if expansion == 1 else ("expand", "depthwise")
        theirs, ours = f"features.{index}.conv", f"features.{index}.layers"
        for position, part in enumerate(activated):
            names[f"{theirs}.{position}.0"] = f"{ours}.{part}.conv"
            names[f"{theirs}.{position}.1"] = f"{ours}.{part}.norm"
        # torchvision does not group the linear projection with its batch normalization.
        names[f"{theirs}.{len(activated)}"] = f"{ours}.project.conv"
        names[f"{theirs}.{len(activated) + 1}"] = f"{ours}.project.norm"
    last = len(shapes) + 1
    names |= {f"features.{last}.0": f"features.{last}.conv", f"features.{last}.1": f"features.{last}.norm"}
    return names | {"classifier.1": "classifier"}


def load_torchvision_v2(path: Path, resolution: int = RESOLUTION) -> LoadedNetwork:
    """Read a state dict of torchvision's `mobilenet_v2`, for any width and number of classes.

    The network pads symmetrically like torchvision's, so it gives the same logits.

    Args:
        path: the .pth file.
        resolution: the resolution of the network. The file does not say which one it was trained at; torchvision's own
            weights were trained at 224.

    Raises:
        EdgenetError: the file does not exist, torch cannot load it safely, or it is not torchvision's MobileNetV2.
    """
    state = _read(path)
    width = infer_width(_channels(state, path), channel_plan)
    if width is None:
        raise EdgenetError(
            f"the channel numbers in {path} fit no width multiplier of MobileNetV2",
            "give weights of torchvision's mobilenet_v2",
        )
    variant = Variant("mobilenet_v2", width, resolution)
    classes = state["classifier.1.weight"].shape[0]
    options = NetworkOptions(classes, padding="symmetric", epsilon=EPSILON, normalization=TORCHVISION)
    network = load_tensors(variant, options, _renamed(state), str(path))
    origin, licence = _provenance(path)
    return LoadedNetwork(network, variant, labels_for(classes), TORCHVISION, origin, licence)


def _read(path: Path) -> dict[str, Tensor]:
    remedy = "give a state dict saved with torch.save, such as torchvision's mobilenet_v2-b0353104.pth"
    try:
        with warnings.catch_warnings():
            # torch warns about unusual pickles; a file that cannot be loaded is reported once, as an error.
            warnings.simplefilter("ignore", UserWarning)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise EdgenetError(f"there is no file {path}", "check the path") from None
    except Exception as error:  # bytes that are not a pickle raise all kinds of errors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EdgenetError(
            f"{path} is not a file of weights that torch loads safely ({reason})", remedy
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EdgenetError(f"{path} holds {type(state).__name__}, not named tensors", remedy)
    return {str(name): tensor for name, tensor in state.items()}


def _channels(state: Mapping[str, Tensor], path: Path) -> tuple[int, ...]:
    """Return the output channels in the order of `mobilenet_v2.channel_plan`."""
    outputs = (
        "features.0.conv",
        *(f"features.{i}.layers.project.conv" for i in range(1, 18)),
        "features.18.conv",
    )
    theirs = {ours: name for name, ours in layer_names().items()}
    wanted = [f"{theirs[name]}.weight" for name in outputs]
    missing = [name for name in (*wanted, "classifier.1.weight") if name not in state or state[name].ndim < 2]
    if missing:
        raise EdgenetError(
            f"{path} is not torchvision's MobileNetV2: {missing[0]} is missing among its {len(state)} tensors"
            f" ({', '.join(list(state)[:2])}, ...)",
            "give weights of torchvision's mobilenet_v2",
        )
    return tuple(state[name].shape[0] for name in wanted)


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under our names. Unknown names stay, so that `load_tensors` reports them as left over."""
    names = layer_names()
    renamed = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{names.get(layer, layer)}.{kind}"] = tensor
    return renamed


def _provenance(path: Path) -> tuple[str, str]:
    digest = sha256(path)
    if digest == TORCHVISION_V2.sha256:
        return TORCHVISION_V2.origin, TORCHVISION_V2.licence
    return f"{path.name} (torchvision's MobileNetV2), SHA-256 {digest}", LICENCE_UNKNOWN
