"""Opening whatever holds a float network: a variant's name, a checkpoint, someone's .onnx."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgenet.bundle.manifest import Facts, Weights
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.graph.ir import Graph, Shape
from edgenet.graph.passes.simplify import simplify
from edgenet.graph.readers.onnx import read_onnx
from edgenet.graph.readers.torch_module import read_torch
from edgenet.labels import parse_labels
from edgenet.progress import Progress, silent
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.metadata import read_labels, read_normalization
from edgenet.tflite.model_file import read_facts
from edgenet.tflite.to_graph import float_graph
from edgenet.zoo.loading import load_network
from edgenet.zoo.normalization import CENTRED, SLIM, TORCHVISION, Normalization

NORMALIZATIONS = {
    "imagenet": TORCHVISION,
    "-1..1": SLIM,
    "centred": CENTRED,
    "0..1": Normalization((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "0..255": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}

ASK_NORMALIZATION = f"give --normalize {'|'.join(NORMALIZATIONS)}, or mean/std in 0..255 as R,G,B/R,G,B"


@dataclass(frozen=True)
class SourceOptions:
    """What a file may not say itself.

    Attributes:
        resolution: side of the picture, for sources that take any.
        normalization: for an .onnx: a name of NORMALIZATIONS, or "R,G,B/R,G,B" (mean/std in 0..255).
        labels: a text file with one name per output.
        input_shape: for an .onnx with an open shape.
    """

    resolution: int | None = None
    normalization: str | None = None
    labels: Path | None = None
    input_shape: Shape | None = None


@dataclass(frozen=True)
class Source:
    """A float network, simplified.

    Attributes:
        graph: takes pixels, ends in logits.
        labels: one per output, None where nobody named them.
        facts: what a bundle says of where it came from.
    """

    graph: Graph
    labels: tuple[str, ...] | None
    facts: Facts


def open_source(source: str, options: SourceOptions, progress: Progress = silent) -> Source:
    """Reads a float network.

    Args:
        source: a variant's name with ImageNet weights, or the path of a .safetensors, .npz, .pth, .onnx or
            float .tflite.

    Raises:
        EdgenetError: see the readers; or labels whose number is not that of the outputs.
    """
    if _is(source, ".onnx"):
        opened = _open_onnx(Path(source), options)
    elif _is(source, ".tflite"):
        opened = _open_tflite(Path(source), options)
    else:
        opened = _open_network(source, options, progress)
    if options.labels is None:
        return opened
    return Source(opened.graph, _labels(options.labels, opened.graph.classes), opened.facts)


def options_for(source: str, options: SourceOptions) -> SourceOptions:
    """Of the options given for several sources together, those that this one takes; `open_source` is strict."""
    if _is(source, ".onnx"):
        return replace(options, resolution=None)
    return replace(options, normalization=None, input_shape=None)


def _is(source: str, suffix: str) -> bool:
    return source.lower().endswith(suffix)


def _open_onnx(path: Path, options: SourceOptions) -> Source:
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "check the path")
    if options.normalization is None:
        raise EdgenetError(f"{path} does not say what its pixels went through in training", ASK_NORMALIZATION)
    if options.resolution is not None:
        raise EdgenetError(
            "an .onnx has its own resolution", "leave out --resolution, or export at another one"
        )
    graph = simplify(read_onnx(path, options.input_shape), parse_normalization(options.normalization))
    weights = Weights(path.name, "not stated by the file", sha256(path))
    return Source(graph, None, Facts(path.stem, weights, resolution=graph.size[0]))


def _open_tflite(path: Path, options: SourceOptions) -> Source:
    """A float .tflite, of edgenet or another tool; its labels and what it knows of its origin are kept."""
    if options.resolution is not None or options.input_shape is not None:
        raise EdgenetError("a .tflite has its own resolution", "leave out --resolution and --input-shape")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check the path") from None
    graph = float_graph(read_tflite(data, str(path)))
    normalization = None
    if graph.pixels is None:
        normalization = _normalization_of(data, path, options)
    elif options.normalization is not None:
        raise EdgenetError(f"{path} takes uint8 pixels and needs no normalization", "leave out --normalize")
    weights = Weights(path.name, "not stated by the file", sha256(data))
    facts = read_facts(data, str(path)) or Facts(path.stem, weights, resolution=graph.size[0])
    labels = read_labels(data)
    return Source(simplify(graph, normalization), tuple(labels) if labels else None, facts)


def _normalization_of(data: bytes, path: Path, options: SourceOptions) -> Normalization:
    """What the user says, else what the file's metadata says."""
    if options.normalization is not None:
        return parse_normalization(options.normalization)
    stated = read_normalization(data)
    if stated is None:
        raise EdgenetError(f"{path} does not say what its pixels went through in training", ASK_NORMALIZATION)
    mean, std = (values * 3 if len(values) == 1 else values for values in stated)
    return Normalization((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def _open_network(source: str, options: SourceOptions, progress: Progress) -> Source:
    if options.normalization is not None or options.input_shape is not None:
        raise EdgenetError(
            f"{source} brings its own normalization and shape",
            "give --normalize and --input-shape for .onnx only",
        )
    network = load_network(
        source, options.resolution, lambda done, total: progress("downloading weights", done, total)
    )
    variant = network.variant
    graph = read_torch(network.module, (variant.resolution, variant.resolution), variant.name)
    path = Path(source)
    weights = Weights(network.origin, network.licence, sha256(path) if path.is_file() else None)
    facts = Facts(variant.name, weights, variant.architecture, variant.width, variant.resolution)
    return Source(simplify(graph, network.normalization), network.labels, facts)


def parse_normalization(text: str) -> Normalization:
    """A normalization by name or as "R,G,B/R,G,B".

    Raises:
        EdgenetError: neither.
    """
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]
    try:
        mean, std = (tuple(float(n) for n in part.split(",")) for part in text.split("/"))
        (red, green, blue), (red_std, green_std, blue_std) = mean, std
    except ValueError:
        raise EdgenetError(
            f"--normalize {text} is no normalization",
            f"give {', '.join(NORMALIZATIONS)}, or R,G,B/R,G,B in 0..255",
        ) from None
    return Normalization((red, green, blue), (red_std, green_std, blue_std))


def _labels(path: Path, outputs: int) -> tuple[str, ...]:
    labels = read_labels_file(path)
    if len(labels) != outputs:
        raise EdgenetError(
            f"{path} names {len(labels)} classes and the network has {outputs} outputs",
            "give one label per line, in the order of the outputs",
        )
    return tuple(labels)


def read_labels_file(path: Path) -> list[str]:
    """The names in the file that --labels gives.

    Raises:
        EdgenetError: it cannot be read, or see `parse_labels`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot read the labels {path}: {error.strerror}", "check the path") from None
    return parse_labels(data, str(path))
