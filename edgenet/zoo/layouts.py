"""The tensor names of other libraries' state dicts, and which of our networks the tensors belong to.

    match = read_layout(state)            # a dict from their names to tensors
    match.variant, match.options          # such as mobilenet_v3_large_0.75_224, with torchvision's padding and epsilon
    load_tensors(match.variant, match.options, match.tensors, "the file's name")

Known are the layouts of torchvision (MobileNetV2 and V3), of timm (MobileNetV1 to V4 and EfficientNet-Lite) and of
EfficientNet-PyTorch (EfficientNet-Lite). Only names and shapes are looked at, never the order of the tensors, because
.safetensors files sort them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from edgenet_device.foreign_text import is_number
from torch import Tensor

from edgenet.zoo.classifier import TORCHVISION, Classifier, NetworkOptions, Normalization
from edgenet.zoo.registry import ARCHITECTURES, WIDTHS, Variant, build_with

Names = dict[str, str]
"""The names of layers in another library, and ours for the same layers."""


@dataclass(frozen=True)
class LayoutMatch:
    """A state dict of another library whose network is one of ours.

    Attributes:
        library: "torchvision", "timm" or "EfficientNet-PyTorch".
        variant: the network, at the largest resolution that is published for its architecture.
        options: the number of classes, and what most of the library's networks have for padding, epsilon and
            normalization. timm's networks that came from TensorFlow (`tf_...`) have the same names, but padding "same",
            epsilon 1e-3 and normalization -1..1, and its `ra4` weights have normalization -1..1 too; nothing in the
            tensors says so.
        tensors: the tensors under our names.
    """

    library: str
    variant: Variant
    options: NetworkOptions
    tensors: dict[str, Tensor]


def read_layout(state: Mapping[str, Tensor]) -> LayoutMatch | None:
    """Return whose state dict this is and which network it holds, or None if it is none that we know.

    Args:
        state: tensors by name, without a common prefix such as "module.".
    """
    library = find_library(state)
    if library is None:
        return None
    tensors = renamed(state, library.names(state))
    found = recognize(tensors)
    if found is None:
        return None
    variant, fixed_stem = found
    options = NetworkOptions(
        classes=tensors["classifier.bias"].shape[0],
        padding="symmetric" if library.symmetric else "same",
        epsilon=library.epsilon(variant.architecture),
        normalization=library.normalization,
        fixed_stem=fixed_stem,
    )
    return LayoutMatch(library.name, variant, options, tensors)


@dataclass(frozen=True)
class Library:
    """A library whose layouts of tensors we know.

    Attributes:
        name: what the library is called.
        marks: names that its state dicts have, and others do not; one of them is enough.
        names: returns, for a state dict, their names of the layers and ours. An unknown layer is left out.
        normalization: the normalization that its weights usually expect.
        symmetric: whether its convolutions pad symmetrically; else as TensorFlow.
        large_epsilon: the beginning of the architectures whose batch normalization has 1e-3; others have 1e-5.
    """

    name: str
    marks: tuple[str, ...]
    names: Callable[[Mapping[str, Tensor]], Names]
    normalization: Normalization
    symmetric: bool = True
    large_epsilon: str | None = None

    def epsilon(self, architecture: str) -> float:
        """Return the epsilon of batch normalization in this library's networks of an architecture."""
        return (
            1e-3 if self.large_epsilon is not None and architecture.startswith(self.large_epsilon) else 1e-5
        )


def find_library(state: Mapping[str, Tensor]) -> Library | None:
    """Return the library whose names these tensors have, or None."""
    return next((one for one in LIBRARIES if any(mark in state for mark in one.marks)), None)


def renamed(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Return the tensors under our names. Unknown names stay, so that `load_tensors` reports them as left over.

    Our last layer has a matrix, and the one before it in MobileNetV3 a 1x1 convolution; either may be the other there.
    """
    tensors = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        tensors[f"{names.get(layer, layer)}.{kind}"] = tensor
    last = tensors.get("classifier.weight")
    if last is not None and last.ndim == 4:
        tensors["classifier.weight"] = last.flatten(1)
    head = tensors.get("head.0.weight")
    if head is not None and head.ndim == 2:
        tensors["head.0.weight"] = head[:, :, None, None]
    return tensors


def torchvision_names(state: Mapping[str, Tensor]) -> Names:
    """Return the names of the layers of torchvision's MobileNetV2 and MobileNetV3.

    A block is `features.I.conv` in V2 and `features.I.block` in V3. Each of its parts is a convolution with batch
    normalization, J.0 and J.1, or V3's squeeze-and-excite, J.fc1 and J.fc2. In V2 the last convolution and its batch
    normalization are not grouped: they are J and J + 1.
    """
    layers = {name.rpartition(".")[0] for name in state}
    names: Names = {}
    for index in _numbers(layers, r"features\.(\d+)\."):
        theirs, ours = f"features.{index}", f"features.{index}"
        if f"{theirs}.0" in layers:
            names |= {f"{theirs}.0": f"{ours}.conv", f"{theirs}.1": f"{ours}.norm"}
        elif f"{theirs}.block.0.0" in layers:
            names |= _torchvision_v3_block(layers, theirs, ours)
        else:
            names |= _torchvision_v2_block(layers, theirs, ours)
    if "classifier.3" in layers:
        return names | {"classifier.0": "head.0", "classifier.3": "classifier"}
    return names | {"classifier.1": "classifier"}


def _torchvision_v2_block(layers: set[str], theirs: str, ours: str) -> Names:
    parts = ("expand", "depthwise") if f"{theirs}.conv.3" in layers else ("depthwise",)
    names: Names = {}
    for position, part in enumerate(parts):
        names |= _conv_and_norm(f"{theirs}.conv.{position}.0", f"{theirs}.conv.{position}.1", ours, part)
    last = len(parts)
    return names | _conv_and_norm(f"{theirs}.conv.{last}", f"{theirs}.conv.{last + 1}", ours, "project")


def _torchvision_v3_block(layers: set[str], theirs: str, ours: str) -> Names:
    parts = _numbers(layers, re.escape(theirs) + r"\.block\.(\d+)\.")
    convolutions = [part for part in parts if f"{theirs}.block.{part}.0" in layers]
    names: Names = {}
    for part, role in zip(
        convolutions, ("expand", "depthwise", "project")[-len(convolutions) :], strict=False
    ):
        names |= _conv_and_norm(f"{theirs}.block.{part}.0", f"{theirs}.block.{part}.1", ours, role)
    for part in parts:
        if f"{theirs}.block.{part}.fc1" in layers:
            names[f"{theirs}.block.{part}.fc1"] = f"{ours}.layers.squeeze.reduce"
            names[f"{theirs}.block.{part}.fc2"] = f"{ours}.layers.squeeze.expand"
    return names


def _conv_and_norm(conv: str, norm: str, block: str, part: str) -> Names:
    return {conv: f"{block}.layers.{part}.conv", norm: f"{block}.layers.{part}.norm"}


# What timm calls the layers of each kind of block, and what we do. A block is of the first kind whose layers it has.
_TIMM_BLOCKS: tuple[Names, ...] = (
    {
        "conv_dw": "layers.depthwise.conv",
        "bn1": "layers.depthwise.norm",
        "se.conv_reduce": "layers.squeeze.reduce",
        "se.conv_expand": "layers.squeeze.expand",
        "conv_pw": "layers.project.conv",
        "bn2": "layers.project.norm",
    },
    {
        "conv_pw": "layers.expand.conv",
        "bn1": "layers.expand.norm",
        "conv_dw": "layers.depthwise.conv",
        "bn2": "layers.depthwise.norm",
        "se.conv_reduce": "layers.squeeze.reduce",
        "se.conv_expand": "layers.squeeze.expand",
        "conv_pwl": "layers.project.conv",
        "bn3": "layers.project.norm",
    },
    {
        "conv_exp": "expand.conv",
        "bn1": "expand.norm",
        "conv_pwl": "project.conv",
        "bn2": "project.norm",
    },
    {
        "dw_start.conv": "layers.first.conv",
        "dw_start.bn": "layers.first.norm",
        "pw_exp.conv": "layers.expand.conv",
        "pw_exp.bn": "layers.expand.norm",
        "dw_mid.conv": "layers.depthwise.conv",
        "dw_mid.bn": "layers.depthwise.norm",
        "pw_proj.conv": "layers.project.conv",
        "pw_proj.bn": "layers.project.norm",
    },
    {"conv": "conv", "bn1": "norm"},
)


def timm_names(state: Mapping[str, Tensor]) -> Names:
    """Return the names of the layers of timm's MobileNetV1 to V4 and EfficientNet-Lite.

    A block is `blocks.STAGE.BLOCK`; we number the blocks without stages.
    """
    layers = {name.rpartition(".")[0] for name in state}
    blocks = sorted(
        {
            (int(m[1]), int(m[2]))
            for m in (re.match(r"blocks\.(\d{1,9})\.(\d{1,9})\.", n) for n in layers)
            if m
        }
    )
    names = {"conv_stem": "features.0.conv", "bn1": "features.0.norm", "classifier": "classifier"}
    # In MobileNetV1 all blocks are depthwise separable, and the others have none without an expanding convolution
    # after the first.
    v1 = not any(layer.endswith((".conv_pwl", ".conv", ".conv_exp")) for layer in layers)
    for index, (stage, block) in enumerate(blocks, start=1):
        theirs, ours = f"blocks.{stage}.{block}.", f"features.{index}."
        parts = {layer.removeprefix(theirs) for layer in layers if layer.startswith(theirs)}
        kind = next((kind for kind in _TIMM_BLOCKS if parts <= kind.keys()), {})
        for part in parts & kind.keys():
            name = kind[part]
            if v1:
                name = name.removeprefix("layers.").replace("project", "pointwise")
            names[theirs + part] = ours + name
    return names | _timm_end(state, layers, len(blocks) + 1)


def _timm_end(state: Mapping[str, Tensor], layers: set[str], index: int) -> Names:
    """Return the names of what follows the blocks: V4 has its last convolution after the pooling, and so has V3."""
    if "norm_head" in layers:
        return {"conv_head": "head.conv", "norm_head": "head.norm"}
    if "conv_head.bias" in state:
        return {"conv_head": "head.0"}
    return {"conv_head": f"features.{index}.conv", "bn2": f"features.{index}.norm"}


_EFFICIENTNET_BLOCK = (
    ("_expand_conv", "_bn0", "expand"),
    ("_depthwise_conv", "_bn1", "depthwise"),
    ("_project_conv", "_bn2", "project"),
)


def efficientnet_names(state: Mapping[str, Tensor]) -> Names:
    """Return the names of the layers of EfficientNet-PyTorch, which EfficientNet-Lite's port to torch has."""
    names = {"_conv_stem": "features.0.conv", "_bn0": "features.0.norm", "_fc": "classifier"}
    blocks = _numbers(state, r"_blocks\.(\d+)\.")
    for index in blocks:
        for conv, norm, part in _EFFICIENTNET_BLOCK:
            theirs = f"_blocks.{index}."
            names |= _conv_and_norm(theirs + conv, theirs + norm, f"features.{index + 1}", part)
    last = f"features.{len(blocks) + 1}"
    return names | {"_conv_head": f"{last}.conv", "_bn1": f"{last}.norm"}


def _numbers(names: Iterable[str], pattern: str) -> list[int]:
    """Return the numbers that the group of a pattern matches at the beginning of the names, in order."""
    found = (re.match(pattern, name) for name in names)
    return sorted({int(match[1]) for match in found if match and is_number(match[1])})


LIBRARIES = (
    Library(
        "EfficientNet-PyTorch",
        ("_conv_stem.weight",),
        efficientnet_names,
        # Google's mean and deviation of EfficientNet-Lite (models/official/efficientnet/lite/lite_main.py).
        Normalization((127.0,) * 3, (128.0,) * 3),
        symmetric=False,
        large_epsilon="",
    ),
    Library("timm", ("conv_stem.weight",), timm_names, TORCHVISION),
    Library(
        "torchvision",
        ("features.1.conv.0.0.weight", "features.1.block.0.0.weight"),
        torchvision_names,
        TORCHVISION,
        large_epsilon="mobilenet_v3",
    ),
)

# Tried first and in this order, so that channels that several widths share get the usual width; then come tenths,
# twentieths and hundredths.
_USUAL_WIDTHS = (1.0, 0.75, 0.5, 0.25, 1.4, 0.35, 1.3)
COUNTER = ".num_batches_tracked"


def recognize(tensors: Mapping[str, Tensor]) -> tuple[Variant, bool] | None:
    """Return the network that has tensors of these names and shapes, and whether its stem is fixed; else None.

    Args:
        tensors: tensors under our names, with any number of classes.
    """
    shapes = {name: tuple(t.shape) for name, t in tensors.items() if not name.endswith(COUNTER)}
    classes = shapes.get("classifier.bias", ())
    if len(classes) != 1 or classes[0] < 2:
        return None
    options = NetworkOptions(classes[0])
    for name, architecture in ARCHITECTURES.items():
        if architecture.one_resolution:
            continue  # their first fully connected layer takes a gigabyte, and no library's layout has them
        full = shapes_of(Variant(name, 1.0, architecture.smallest), NetworkOptions(2))
        if full.keys() != shapes.keys():
            continue
        resolution = max(resolution for _, resolution in architecture.published)
        for width in _likely_widths(full, shapes) if architecture.scales else (1.0,):
            for fixed in (False, True):
                variant = Variant(name, width, resolution)
                if shapes_of(variant, replace(options, fixed_stem=fixed)) == shapes:
                    return variant, fixed
    return None


@cache
def shapes_of(variant: Variant, options: NetworkOptions) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a network under its name, without the counters of batches."""
    network = meta_network(variant, options)
    return {name: tuple(t.shape) for name, t in network.state_dict().items() if not name.endswith(COUNTER)}


def meta_network(variant: Variant, options: NetworkOptions) -> Classifier:
    """Return a network without values: on the meta device it takes no memory and hardly any time."""
    with torch.device("meta"):
        return build_with(variant, options)


def _likely_widths(full: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> list[float]:
    """Return the widths in hundredths that a network's widest block may have, the most usual first.

    Channels are rounded to multiples of 8, by up to 8, or down to whole numbers in MobileNetV1.
    """
    blocks = [name for name in full if re.search(r"(project|pointwise)\.conv\.weight$", name)]
    name = max(blocks, key=lambda name: full[name][0])
    channels, at_one = shapes[name][0], full[name][0]
    least, most = (max(channels + change, 0) / at_one for change in (-8, 8))
    hundredths = sorted(range(1, int(100 * WIDTHS[1]) + 1), key=lambda h: (h % 10 != 0, h % 5 != 0, h))
    return [
        w for w in (*_USUAL_WIDTHS, *(h / 100 for h in hundredths)) if least <= w <= most and w >= WIDTHS[0]
    ]
