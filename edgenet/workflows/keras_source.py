"""Opens a Keras model (.h5, .keras, TensorFlow.js' model.json), with what the files beside it say about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgenet.data.labels import parse_labels
from edgenet.errors import EdgenetError
from edgenet.files import json_beside, read_limited, sha256
from edgenet.graph.simplify import simplify
from edgenet.manifest import Facts, Weights
from edgenet.workflows.source_options import (
    ASK_NORMALIZATION,
    NORMALIZATIONS,
    Source,
    SourceOptions,
    parse_normalization,
)
from edgenet.zoo.classifier import Normalization

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

    network = read_keras(path, _size(options))
    metadata = json_beside(path, "metadata.json")
    graph = simplify(network.graph, _normalization(path, options, network.scales_pixels, metadata))
    labels, notes = (None, ()) if options.labels else _labels_beside(path, metadata, graph.classes)
    weights = Weights(path.name, "not stated by the file", sha256(path))
    name = path.resolve().parent.name if path.name == "model.json" else path.stem
    return Source(graph, labels, Facts(name, weights, resolution=graph.size[0]), notes)


def _size(options: SourceOptions) -> tuple[int, int] | None:
    """Return the height and width that the user gives."""
    if options.input_shape is not None:
        if len(options.input_shape) != 4:
            raise EdgenetError(
                f"--input-shape has {len(options.input_shape)} numbers", "give four: 1,HEIGHT,WIDTH,3"
            )
        return options.input_shape[1], options.input_shape[2]
    return None if options.resolution is None else (options.resolution, options.resolution)


def _normalization(
    path: Path, options: SourceOptions, scales_pixels: bool, metadata: Mapping[str, Any]
) -> Normalization:
    if options.normalization is not None:
        return parse_normalization(options.normalization)
    if scales_pixels:
        return NORMALIZATIONS["0..255"]
    if "teachablemachine" in str(metadata.get("packageName", "")).lower():
        return NORMALIZATIONS[TEACHABLE_MACHINE]
    raise EdgenetError(
        f"{path} does not say what its pixels went through in training",
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
