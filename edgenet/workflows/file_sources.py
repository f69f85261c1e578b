"""Opens the float networks in other makers' files, .onnx, Keras and .tflite, with what files beside them say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgenet_device.model_file import verified

from edgenet.data.labels import parse_labels
from edgenet.errors import EdgenetError
from edgenet.files import json_beside, read_limited, sha256
from edgenet.graph.fold import own_scaling
from edgenet.graph.ir import Affine, Graph
from edgenet.graph.simplify import simplify
from edgenet.manifest import Facts, Weights
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.metadata import SourceInfo, read_facts, read_labels, read_normalization, read_source_info
from edgenet.tflite.plain_form import takes_plain_pixels
from edgenet.tflite.to_graph import float_graph
from edgenet.workflows.source_options import (
    ASK_NORMALIZATION,
    NORMALIZATIONS,
    Source,
    SourceOptions,
    parse_normalization,
)
from edgenet.zoo.classifier import Normalization


def _unsaid(path: Path) -> str:
    return f"{path} does not say what its pixels went through in training"


def open_onnx(path: Path, options: SourceOptions) -> Source:
    """Open an .onnx file.

    Raises:
        EdgenetError: the file cannot be read (see `read_onnx`), or it does not say what its pixels went through in
            training and the user does not either.
    """
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "check the path")
    if options.resolution is not None:
        raise EdgenetError(
            "an .onnx has its own resolution", "leave out --resolution, or export at another one"
        )
    from edgenet.graph.onnx_reader import read_onnx, takes_bytes  # onnx takes 20 MB of memory: import it late

    read = read_onnx(path, options.input_shape, options.output)
    normalization, warnings = _onnx_normalization(path, read, options, takes_bytes(path))
    graph = simplify(read, normalization)
    weights = Weights(path.name, "not stated by the file", sha256(path))
    return Source(graph, None, Facts(path.stem, weights, resolution=graph.size[0]), warnings)


def _onnx_normalization(
    path: Path, graph: Graph, options: SourceOptions, takes_bytes: bool
) -> tuple[Normalization, tuple[str, ...]]:
    """Return the normalization, and a note if it was found in the network itself."""
    if options.normalization is not None:
        return parse_normalization(options.normalization), ()
    pixels = "0..255" if takes_bytes else embedded_range(graph)
    if pixels is None:
        raise EdgenetError(_unsaid(path), ASK_NORMALIZATION)
    note = (
        "takes uint8 pixels"
        if takes_bytes
        else "normalizes its pixels itself, with the mean and deviation of pixels from "
        f"{pixels.replace('..', ' to ')}"
    )
    return NORMALIZATIONS[pixels], (f"{path} {note}: it is given them as --normalization {pixels}",)


def embedded_range(graph: Graph) -> str | None:
    """Return the range of pixels that a network expects which begins with its own normalization.

    The mean and the deviation of photos are known well enough to tell the two ranges apart: about 0.45 and 0.25 in
    0..1, about 115 and 60 in 0..255.

    Returns:
        "0..1", "0..255", or None if the network does not begin with a normalization, or with an odd one.
    """
    scaling = own_scaling(graph)
    if scaling is None or not np.all(scaling.scale > 0):
        return None
    mean, deviation = -scaling.offset / scaling.scale, 1 / scaling.scale
    if not np.any(scaling.offset):
        return "0..255" if np.all(np.abs(deviation - 255) < 2) else None
    for pixels, largest in (("0..1", 1.0), ("0..255", 255.0)):
        usual = np.all((mean > 0.25 * largest) & (mean < 0.65 * largest))
        if usual and np.all((deviation >= 0.1 * largest) & (deviation <= largest) | (deviation == 1)):
            return pixels
    return None


TEACHABLE_MACHINE = "-1..1"
"""The normalization with which Teachable Machine trains all of its image models."""


def open_keras_source(path: Path, options: SourceOptions) -> Source:
    """Open a Keras model.

    Its normalization is the one that the user gives; else a model that scales its picture itself (Rescaling,
    Normalization) takes pixels of 0..255, and one of Teachable Machine, as its metadata.json says, -1..1.

    Args:
        path: the file; a labels.txt or metadata.json beside it names the classes, if it names as many as there are.
        options: what the user says about it. A resolution is taken if the model leaves its picture's size open.

    Raises:
        EdgenetError: the file cannot be read (see `read_keras`), or says nothing about its normalization.
    """
    from edgenet.graph.keras_reader import read_keras

    network = read_keras(path, _keras_size(options))
    metadata = json_beside(path, "metadata.json")
    graph = simplify(network.graph, _keras_normalization(path, options, network.scales_pixels, metadata))
    labels, notes = (None, ()) if options.labels else _labels_beside(path, metadata, graph.classes)
    weights = Weights(path.name, "not stated by the file", sha256(path))
    name = path.resolve().parent.name if path.name == "model.json" else path.stem
    return Source(graph, labels, Facts(name, weights, resolution=graph.size[0]), notes)


def _keras_size(options: SourceOptions) -> tuple[int, int] | None:
    """Return the height and width that the user gives."""
    if options.input_shape is not None:
        if len(options.input_shape) != 4:
            raise EdgenetError(
                f"--input-shape has {len(options.input_shape)} numbers", "give four: 1,HEIGHT,WIDTH,3"
            )
        return options.input_shape[1], options.input_shape[2]
    return None if options.resolution is None else (options.resolution, options.resolution)


def _keras_normalization(
    path: Path, options: SourceOptions, scales_pixels: bool, metadata: Mapping[str, Any]
) -> Normalization:
    if options.normalization is not None:
        return parse_normalization(options.normalization)
    if scales_pixels:
        return NORMALIZATIONS["0..255"]
    if "teachablemachine" in str(metadata.get("packageName", "")).lower():
        return NORMALIZATIONS[TEACHABLE_MACHINE]
    raise EdgenetError(
        _unsaid(path),
        f"{ASK_NORMALIZATION}; a model of Teachable Machine takes {TEACHABLE_MACHINE}",
    )


def _labels_beside(
    path: Path, metadata: Mapping[str, Any], classes: int
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the class names beside the file and a note about them; None if they do not fit."""
    named = metadata.get("labels")
    text = path.with_name("labels.txt")
    if isinstance(named, list) and all(isinstance(name, str) for name in named):
        where, names = path.with_name("metadata.json"), [" ".join(name.split()) for name in named]
    elif text.is_file():
        where, names = text, parse_labels(read_limited(text), str(text))
    else:
        return None, ()
    if len(names) != classes or not all(names):
        return None, (
            f"{where} names {len(names)} classes and the network has {classes} outputs: it is not used",
        )
    return tuple(names), (f"the class names are those of {where}",)


def open_tflite(path: Path, options: SourceOptions) -> Source:
    """Open a float .tflite from edgenet or another tool; keep its labels and the record of its origin."""
    if options.resolution is not None or options.input_shape is not None:
        raise EdgenetError("a .tflite has its own resolution", "leave out --resolution and --input-shape")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check the path") from None
    if data[4:8] == b"TFL3":
        data = verified(data, str(path))
    file = read_float_file(data, path, with_labels=options.labels is None)
    graph = simplify(file.graph, _tflite_normalization(file, path, options))
    warnings = (f"{path} also holds {', '.join(file.dropped)}, which is not kept",) if file.dropped else ()
    return Source(graph, file.labels, file.facts, warnings)


def _tflite_normalization(file: FloatFile, path: Path, options: SourceOptions) -> Normalization | None:
    """Return the user's normalization, else that of the metadata; None for a network that takes pixels."""
    if file.graph.pixels is not None or file.plain_pixels:
        if options.normalization is not None:
            raise EdgenetError(
                f"{path} takes uint8 pixels and needs no normalization", "leave out --normalization"
            )
        return NORMALIZATIONS["0..255"] if file.plain_pixels else None
    if options.normalization is not None:
        return parse_normalization(options.normalization)
    if file.stated is None:
        hint = "; it scales its input itself, so this may be 0..255" if file.scales_pixels else ""
        raise EdgenetError(f"{_unsaid(path)}{hint}", ASK_NORMALIZATION)
    mean, std = (values * 3 if len(values) == 1 else values for values in file.stated)
    return Normalization((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


@dataclass(frozen=True)
class FloatFile:
    """The contents of a float .tflite.

    Attributes:
        graph: the graph exactly as in the file, not simplified.
        labels: class names, one per output; None if the file has none or they were not requested.
        facts: where the file came from.
        plain_pixels: whether the file takes uint8 pixels and converts them to float32, 0 to 255.
        stated: mean and std from the metadata, one number each or three; None if the metadata has none.
        dropped: contents of the metadata that edgenet does not keep.
    """

    graph: Graph
    labels: tuple[str, ...] | None
    facts: Facts
    plain_pixels: bool
    stated: tuple[tuple[float, ...], tuple[float, ...]] | None
    dropped: tuple[str, ...]

    @property
    def scales_pixels(self) -> bool:
        """Whether the network begins with a multiplication or an addition, as Keras' Rescaling does."""
        return any(self.graph.input in n.inputs and isinstance(n.operator, Affine) for n in self.graph.nodes)


def read_float_file(data: bytes, path: Path, with_labels: bool) -> FloatFile:
    """Read a float .tflite.

    Args:
        data: the file's contents.
        path: the file's path, for its name and for errors.
        with_labels: whether to read its labels.

    Raises:
        EdgenetError: the file cannot be used (see `read_tflite` and `float_graph`), or the number of its
            labels differs from the number of outputs.
    """
    program = read_tflite(data, str(path))
    graph = float_graph(program)
    stated = read_source_info(data)
    facts = read_facts(data, str(path)) or Facts(
        path.stem, _tflite_weights(data, path, stated), resolution=graph.size[0]
    )
    return FloatFile(
        graph=graph,
        labels=_tflite_labels(data, path, graph.classes) if with_labels else None,
        facts=facts,
        plain_pixels=takes_plain_pixels(program),
        stated=read_normalization(data),
        dropped=stated.dropped,
    )


def _tflite_weights(data: bytes, path: Path, stated: SourceInfo) -> Weights:
    """Return where the weights came from, as far as the file says."""
    name = f" '{stated.name}'" if stated.name else ""
    by = f" by {stated.author}" if stated.author else ""
    return Weights(f"{path.name}{name}{by}", stated.licence or "not stated by the file", sha256(data))


def _tflite_labels(data: bytes, path: Path, outputs: int) -> tuple[str, ...] | None:
    labels = read_labels(data)
    if labels is not None and len(labels) != outputs:
        raise EdgenetError(
            f"{path} names {len(labels)} classes and has {outputs} outputs",
            "give the right names with --labels",
        )
    return tuple(labels) if labels else None
