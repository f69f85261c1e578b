"""Loads checkpoints of torchvision's and timm's mobile networks: the network is recognized by its tensors.

Names and shapes say which network it is, its width and its number of classes. They do not say how the pixels were
normalized, and not whether a network of timm came from TensorFlow (`tf_...`), which pads in another way. What the file
or a config.json beside it does not say is assumed as the library usually has it, and the user is told.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgenet_device.file_kind import (
    SAFETENSORS,
    TORCH,
    TORCH_EXPORT,
    TORCHSCRIPT,
    UNKNOWN,
    file_kind,
    wrong_kind,
)
from edgenet_device.foreign_text import is_number
from torch import Tensor

from edgenet.errors import EdgenetError, one_line
from edgenet.files import json_beside, sha256
from edgenet.zoo.catalogue import (
    PretrainedWeights,
    entries_called,
    entry_of_digest,
    labels_for,
    read_catalogue,
)
from edgenet.zoo.checkpoint import LICENCE_UNKNOWN, LoadedNetwork, load_tensors
from edgenet.zoo.classifier import SLIM, TORCHVISION, NetworkOptions, Normalization
from edgenet.zoo.layouts import (
    COUNTER,
    Library,
    Names,
    find_library,
    meta_network,
    recognize,
    renamed,
    shapes_of,
)
from edgenet.zoo.pretrained import options_of, read_pretrained
from edgenet.zoo.registry import ARCHITECTURES, Variant, parse_variant
from edgenet.zoo.state_dicts import (
    EXPORT,
    OWN_MARK,
    StateDict,
    read_state_dict,
    some_names,
    with_usual_head,
    without_head,
)
from edgenet.zoo.torch_file import REMEDY


def load_foreign(path: Path, architecture: str | None = None) -> LoadedNetwork:
    """Read a checkpoint that edgenet did not write.

    Args:
        path: a file of torch (.pth, .pt, .bin, .ckpt) or a .safetensors.
        architecture: what the network is, instead of what its tensors look like: a variant's name, an architecture's
            name, or timm's name, such as "tf_mobilenetv3_small_100".

    Raises:
        EdgenetError: the file cannot be read or is no network that is known; it has no head; tensors are missing or
            left over.
    """
    if architecture:
        check_architecture(architecture)
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "check the path")
    if (kind := file_kind(path)) not in KINDS:
        raise wrong_kind(path, kind, "a checkpoint", REMEDY)
    entry = None if architecture else entry_of_digest(sha256(path))
    if entry is not None:
        return read_pretrained(path, entry)
    state = read_state_dict(path)
    library = OWN if OWN_MARK in state.tensors else find_library(state.tensors)
    if library is None:
        raise _unknown(path, state)
    hints = _hints(path, state, architecture)
    given = state.tensors if library is OWN else with_usual_head(state.tensors, path)
    names = library.names(given)
    tensors = renamed(given, names)
    tensors = {name: t for name, t in tensors.items() if not name.endswith(COUNTER)}
    if "classifier.bias" not in tensors:
        raise without_head(path)
    variant, options = _network(tensors, names, library, hints, path)
    module = load_tensors(variant, options, tensors, str(path))
    labels = hints.labels if len(hints.labels) == options.classes else labels_for(options.classes)
    where = ", ".join(filter(None, (f"as {library.name} names its tensors", state.found)))
    origin = f"{path.name} ({where}), SHA-256 {sha256(path)}"
    assumed = _assumed(library, variant, options, hints)
    return LoadedNetwork(module, variant, labels, options.normalization, origin, LICENCE_UNKNOWN, assumed)


KINDS = (TORCH, TORCHSCRIPT, TORCH_EXPORT, SAFETENSORS, UNKNOWN)


OWN = Library(
    "edgenet",
    (OWN_MARK,),
    lambda state: {},
    NetworkOptions().normalization,
    symmetric=False,
    large_epsilon="",
)
"""Our own networks, whose state dict somebody saved with torch: built as `edgenet train` builds them."""


@dataclass(frozen=True)
class _Hints:
    """What a file says about its network beside the tensors.

    Attributes:
        name: the network's name, given by the user or the file; empty if neither does.
        labels: the classes' names; empty if the file does not have them.
        normalization: that of a config.json of timm's; None without one.
    """

    name: str
    labels: tuple[str, ...]
    normalization: Normalization | None

    @property
    def rows(self) -> tuple[PretrainedWeights, ...]:
        """Return the catalogue's rows for timm's name, with or without a tag; they know about padding."""
        return entries_called(self.name)

    @property
    def known_normalization(self) -> Normalization | None:
        """Return the normalization that the file states, or that all weights of timm's name have; else None."""
        stated = {options_of(row).normalization for row in self.rows}
        return self.normalization or (stated.pop() if len(stated) == 1 else None)


def _hints(path: Path, state: StateDict, architecture: str | None) -> _Hints:
    config = json_beside(path, "config.json")
    said = config.get("architecture") or state.settings.get("arch")
    normalization = None
    described = config.get("pretrained_cfg")
    if isinstance(described, dict):
        mean, std = described.get("mean"), described.get("std")
        if isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) == 3:
            normalization = Normalization(_times_255(mean), _times_255(std))
    labels = next(
        (
            found
            for source in (state.settings, config)
            for key in LABELS
            if (found := _names_in(source.get(key)))
        ),
        (),
    )
    name = architecture or (str(said) if isinstance(said, str) else "")
    return _Hints(name, labels, normalization)


LABELS = ("classes", "class_names", "labels", "label_names", "class_to_idx", "idx_to_class", "id2label")


def _times_255(values: list[Any]) -> tuple[float, float, float]:
    red, green, blue = (round(255 * float(value), 4) for value in values)
    return red, green, blue


def _names_in(value: Any) -> tuple[str, ...]:
    """Return class names in the order of the outputs from a list, {name: index} or {index: name}."""
    if isinstance(value, dict):
        if all(isinstance(index, int) for index in value.values()):
            value = [name for name, _ in sorted(value.items(), key=lambda item: item[1])]
        elif all(is_number(str(index)) for index in value):
            value = [value[index] for index in sorted(value, key=lambda index: int(str(index)))]
    if not isinstance(value, list | tuple) or not all(
        isinstance(name, str) and name.strip() for name in value
    ):
        return ()
    return tuple(one_line(name) for name in value)


def _network(
    tensors: Mapping[str, Tensor], names: Names, library: Library, hints: _Hints, path: Path
) -> tuple[Variant, NetworkOptions]:
    """Return the network that the tensors fit and how it is built.

    Raises:
        EdgenetError: they fit none; the message names the tensors that are missing and left over.
    """
    named, found = _variant_of(hints), recognize(tensors)
    variant, fixed_stem = found or (named, False)
    if variant is None:
        raise _nearest(tensors, names, library, path)
    stated = named is not None and not hints.rows
    if (
        named is not None
        and stated
        and (named.name == hints.name or named.architecture != variant.architecture)
    ):
        variant = named  # if it is wrong, `load_tensors` says which tensors do not fit
    return variant, _options(len(tensors["classifier.bias"]), variant, fixed_stem, library, hints)


def _options(
    classes: int, variant: Variant, fixed_stem: bool, library: Library, hints: _Hints
) -> NetworkOptions:
    options = NetworkOptions(
        classes=classes,
        padding="symmetric" if library.symmetric else "same",
        epsilon=library.epsilon(variant.architecture),
        normalization=library.normalization,
        fixed_stem=fixed_stem,
    )
    if hints.rows:
        named = options_of(hints.rows[0])
        options = replace(options, padding=named.padding, epsilon=named.epsilon)
    elif library.name == "timm" and "minimalistic" in variant.architecture:  # they all came from TensorFlow
        options = replace(options, padding="same", epsilon=1e-3, normalization=SLIM)
    return replace(options, normalization=hints.known_normalization or options.normalization)


def _variant_of(hints: _Hints) -> Variant | None:
    """Return the variant that a name means; None without a name, or if the file's own name is none that we know."""
    if hints.rows:
        return parse_variant(hints.rows[0].variant)
    if hints.name in ARCHITECTURES:
        published = ARCHITECTURES[hints.name].published
        return Variant(hints.name, 1.0, max(resolution for _, resolution in published))
    try:
        return parse_variant(hints.name) if hints.name else None
    except EdgenetError:
        return None


def check_architecture(name: str) -> None:
    """Check a name that a user gives as an architecture.

    Raises:
        EdgenetError: it is no variant, no architecture and none of timm's names; the message names the nearest.
    """
    if _variant_of(_Hints(name, (), None)) is None:
        timms = {
            row.source.partition(", ")[2].partition(".")[0]
            for row in read_catalogue()
            if "timm" in row.source
        }
        near = difflib.get_close_matches(name, [*ARCHITECTURES, *timms], n=3, cutoff=0)
        raise EdgenetError(
            f"there is no architecture {one_line(name, 80)!r}", f"the nearest are: {', '.join(near)}"
        )


def _unknown(path: Path, state: StateDict) -> EdgenetError:
    return EdgenetError(
        f"{path} holds tensors of a network that edgenet does not know ({some_names(list(state.tensors))})",
        f"edgenet knows mobile networks of torchvision and timm; {EXPORT}",
    )


def _nearest(tensors: Mapping[str, Tensor], names: Names, library: Library, path: Path) -> EdgenetError:
    """Return the error for tensors that fit no network: what the nearest one has more, or less."""
    expected = {
        name: shapes_of(Variant(name, 1.0, one.smallest), NetworkOptions(2)).keys()
        for name, one in ARCHITECTURES.items()
        if not one.one_resolution
    }
    nearest = min(expected, key=lambda name: len(expected[name] ^ tensors.keys()))
    missing, extra = expected[nearest] - tensors.keys(), tensors.keys() - expected[nearest]
    theirs = {ours: name for name, ours in names.items()}
    missing = {_in_their_words(name, theirs) for name in missing}
    extra = {_in_their_words(name, theirs) for name in extra}
    if not missing and not extra:
        return _of_other_shapes(tensors, nearest, theirs, library, path)
    differing = ((missing, "missing"), (extra, "left over"))
    parts = [_these_are(sorted(names), what) for names, what in differing if names]
    return EdgenetError(
        f"{path} is no network of {library.name} that edgenet knows: for {nearest}, {' and '.join(parts)}",
        f"name the network with --architecture if it is one; else {EXPORT}",
    )


def _these_are(names: list[str], what: str) -> str:
    count = "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"
    return f"{count} {what} ({some_names(names)})"


def _of_other_shapes(
    tensors: Mapping[str, Tensor], architecture: str, theirs: Mapping[str, str], library: Library, path: Path
) -> EdgenetError:
    """Return the error for tensors with all names of a network, some of which have other shapes."""
    resolution = ARCHITECTURES[architecture].smallest
    widths = sorted({width for width, _ in ARCHITECTURES[architecture].published})
    options = NetworkOptions(len(tensors["classifier.bias"]))
    different: dict[float, list[str]] = {}
    for width in widths:
        expected = meta_network(Variant(architecture, width, resolution), options).state_dict()
        different[width] = [name for name, tensor in tensors.items() if tensor.shape != expected[name].shape]
    width = min(widths, key=lambda width: len(different[width]))
    names = [_in_their_words(name, theirs) for name in different[width]]
    return EdgenetError(
        f"{path} is no network of {library.name} that edgenet knows: for {architecture}_{width},"
        f" {_these_are(names, 'of another shape')}",
        EXPORT,
    )


def _in_their_words(name: str, theirs: Mapping[str, str]) -> str:
    """Return the tensor's name in its library, if the file has another tensor of the same layer; else ours."""
    layer, _, kind = name.rpartition(".")
    return f"{theirs.get(layer, layer)}.{kind}"


def _assumed(library: Library, variant: Variant, options: NetworkOptions, hints: _Hints) -> tuple[str, ...]:
    """Return what was assumed, because the file does not say it."""
    if hints.known_normalization is not None:
        return ()
    known = {SLIM: "-1..1", TORCHVISION: "imagenet"}.get(options.normalization, "of its networks")
    assumed = [
        f"the file does not say how its photos were prepared in training: the normalization {known} and"
        f" {variant.resolution} pixels are assumed, as {library.name} has them; give --normalization and --resolution"
    ]
    ambiguous = variant.architecture.startswith(("mobilenet_v3", "efficientnet_lite")) and not hints.rows
    if library.name == "timm" and ambiguous and options.padding == "symmetric":
        assumed.append(
            "timm's networks that came from TensorFlow (tf_...) look alike and pad in another way: this one is taken as"
            " none of them; give --architecture with timm's name if it is one, such as tf_mobilenetv3_small_100"
        )
    return tuple(assumed)
