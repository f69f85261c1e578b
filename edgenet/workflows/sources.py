"""Opens a float network, given by a variant's name, as a file of any kind that edgenet reads, or as a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgenet_device.file_kind import (
    BUNDLE,
    FROZEN_GRAPH,
    HDF5,
    KERAS,
    ONNX,
    SAVED_MODEL,
    TFJS,
    TFLITE,
    UNKNOWN,
    FileKind,
    file_kind,
    wrong_kind,
)
from torch import nn

from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.graph.ir import Graph
from edgenet.graph.simplify import all_zero_layers, made_two_classes, simplify
from edgenet.graph.torch_reader import read_torch
from edgenet.manifest import Facts, Weights
from edgenet.progress import Progress, silent
from edgenet.workflows.photo_arguments import label_names
from edgenet.workflows.source_options import FLOAT_SOURCE
from edgenet.workflows.source_options import NORMALIZATIONS as NORMALIZATIONS
from edgenet.workflows.source_options import Source as Source
from edgenet.workflows.source_options import SourceOptions as SourceOptions
from edgenet.workflows.source_options import parse_normalization as parse_normalization
from edgenet.zoo.checkpoint import is_foreign_checkpoint
from edgenet.zoo.readers import load_network


def open_source(
    source: str | Path | nn.Module, options: SourceOptions = SourceOptions(), progress: Progress = silent
) -> Source:
    """Read a float network.

    Args:
        source: a variant's name with ImageNet weights; the path of a checkpoint, an .onnx, a Keras model or a float
            .tflite, which is recognized by its content; or a torch module that takes normalized RGB [1, 3, H, W]
            and returns logits [1, N].

    Raises:
        EdgenetError: the source cannot be read (see the readers), a weight is not a finite number, or the
            number of labels differs from the number of outputs.
    """
    if isinstance(source, nn.Module):
        from edgenet.workflows.module_source import open_module

        opened = open_module(source, options)
    elif Path(source).exists():
        opened = _open_path(Path(source), options, progress)
    else:
        opened = _open_network(str(source), options, progress)
    warnings = opened.warnings
    empty = all_zero_layers(opened.graph)
    if empty:
        warnings += (f"all weights are zero in {', '.join(empty)}: check that the network was trained",)
    labels = opened.labels
    if options.labels is not None:
        labels = _labels(options.labels, opened.graph)
    elif labels is None and made_two_classes(opened.graph):
        warnings += (
            f"the network has one score, a binary classifier's; the file has two outputs, {TWO_CLASSES}",
        )
    return replace(opened, labels=labels, warnings=warnings)


def _open_path(path: Path, options: SourceOptions, progress: Progress) -> Source:
    """Open a file or folder by its content; what the content does not tell, its name tells."""
    if path.is_dir():
        path = _file_of(path)
    kind = file_kind(path)
    if kind is BUNDLE:
        raise EdgenetError(f"{path} is a bundle, which holds no float network to convert", FLOAT_SOURCE)
    if kind in (SAVED_MODEL, FROZEN_GRAPH):
        raise _tensorflow_graph(path, kind)
    if kind.name in NO_NETWORK:
        raise wrong_kind(path, kind, "a network", FLOAT_SOURCE)
    if options.architecture is not None and kind is not UNKNOWN and not is_foreign_checkpoint(path):
        raise EdgenetError(f"{path} says itself what its network is", "leave out --architecture")
    suffix = path.suffix.lower() if kind is UNKNOWN else ""
    from edgenet.workflows.file_sources import open_keras_source, open_onnx, open_tflite

    if kind is ONNX or suffix == ".onnx":
        return open_onnx(path, options)
    if kind is TFLITE or suffix == ".tflite":
        return open_tflite(path, options)
    if kind in (KERAS, HDF5, TFJS) or suffix in KERAS_SUFFIXES:
        return open_keras_source(path, options)
    return _open_network(str(path), options, progress)


KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
NO_NETWORK = (
    *("empty", "web-page", "pointer", "xml", "json", "text", "picture", "pdf", "program", "pickle", "npy"),
    *("zip", "cut-zip", "gzip", "xz", "bzip2", "zstd", "7z", "rar", "tar"),
)
"""The kinds of files (see `FileKind.name`) that are no network, whatever they are called."""


def _file_of(folder: Path) -> Path:
    """Return the model's file in a folder of TensorFlow.js or Keras; refuse a SavedModel and other folders."""
    if (folder / "saved_model.pb").is_file():
        raise _tensorflow_graph(folder, SAVED_MODEL)
    if (folder / "model.json").is_file():
        return folder / "model.json"
    raise EdgenetError(f"{folder} is a folder, not a network", "give the file of a network")


def _tensorflow_graph(path: Path, kind: FileKind) -> EdgenetError:
    """Return the error for TensorFlow's own graphs, with the lines that make a float .tflite of them."""
    if kind is FROZEN_GRAPH:
        make = f"tf.compat.v1.lite.TFLiteConverter.from_frozen_graph('{path}', ['INPUT'], ['OUTPUT'])"
    else:
        folder = path if path.is_dir() else path.parent
        make = f"tf.lite.TFLiteConverter.from_saved_model('{folder}')"
    return EdgenetError(
        f"{path} is {kind.words}, which only TensorFlow can read",
        "make a float .tflite of it, and give that: import tensorflow as tf;"
        f" open('model.tflite', 'wb').write({make}.convert())",
    )


def options_for(source: str | Path, options: SourceOptions) -> SourceOptions:
    """Return the options without those that do not apply to this source, which `open_source` would refuse."""
    path = Path(source)
    kind = file_kind(path) if path.is_file() else UNKNOWN
    if kind is ONNX or path.suffix.lower() == ".onnx":
        return replace(options, resolution=None)
    if kind in (KERAS, HDF5, TFJS):
        last = options.input_shape[-1] if options.input_shape else None
        shape = options.input_shape if last in (1, 3) else None  # else it is an .onnx file's, channels first
        return replace(options, input_shape=shape, output=None)
    if is_foreign_checkpoint(path):
        return replace(options, input_shape=None, output=None)
    return replace(options, normalization=None, input_shape=None, output=None, architecture=None)


def sized_like(source: str | Path, options: SourceOptions, size: tuple[int, int]) -> SourceOptions:
    """Return the options with the resolution of a finished file that was made from this source.

    Args:
        source: the float network; an .onnx or .tflite has its own resolution, and keeps it.
        options: what the user says about it.
        size: height and width of the finished file's picture, pixels.
    """
    path = Path(source)
    kind = file_kind(path) if path.is_file() else UNKNOWN
    own = kind in (ONNX, TFLITE) or path.suffix.lower() in (".onnx", ".tflite")
    if own or options.input_shape is not None or size[0] != size[1]:
        return options
    return replace(options, resolution=size[0])


def _open_network(source: str, options: SourceOptions, progress: Progress) -> Source:
    is_checkpoint = is_foreign_checkpoint(Path(source))
    if options.input_shape is not None or (options.normalization is not None and not is_checkpoint):
        raise EdgenetError(
            f"{source} has its own normalization and shape",
            "leave out --normalization and --input-shape",
        )
    network = load_network(
        source,
        options.resolution,
        lambda done, total: progress("downloading weights", done, total),
        options.architecture,
    )
    normalization, assumed = network.normalization, network.assumed
    if options.normalization is not None:
        normalization, assumed = parse_normalization(options.normalization), assumed[1:]
    variant = network.variant
    graph = read_torch(network.module, (variant.resolution, variant.resolution), variant.name)
    path = Path(source)
    weights = Weights(network.origin, network.licence, sha256(path) if path.is_file() else None)
    facts = Facts(variant.name, weights, variant.architecture, variant.width, variant.resolution)
    return Source(simplify(graph, normalization), network.labels, facts, assumed)


TWO_CLASSES = "the negative class and then the positive one: give --labels with both names in this order"


def _labels(labels: str | Path | Sequence[str], graph: Graph) -> tuple[str, ...]:
    names = label_names(labels)
    if len(names) != graph.classes:
        where = "labels" if isinstance(labels, list | tuple) else labels
        two = made_two_classes(graph)
        raise EdgenetError(
            f"{where} names {len(names)} classes and the network has {graph.classes} outputs",
            TWO_CLASSES if two else "give one label per line, in the order of the outputs",
        )
    return names
