"""Opens a float network: a variant by name, a checkpoint, an .onnx, a float .tflite or a torch module."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.graph.ir import Affine, Graph, Shape
from edgenet.graph.simplify import all_zero_layers, simplify
from edgenet.graph.torch_reader import read_torch
from edgenet.manifest import Facts, Weights
from edgenet.progress import Progress, silent
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.metadata import SourceInfo, read_facts, read_labels, read_normalization, read_source_info
from edgenet.tflite.plain_form import takes_plain_pixels
from edgenet.tflite.to_graph import float_graph
from edgenet.workflows.arguments import label_names
from edgenet.zoo.classifier import CENTRED, SLIM, TORCHVISION, Normalization
from edgenet.zoo.readers import load_network

NORMALIZATIONS = {
    "imagenet": TORCHVISION,
    "-1..1": SLIM,
    "centred": CENTRED,
    "0..1": Normalization((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "0..255": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
FLOAT_SOURCE = "give the float network it was made from: .safetensors, .npz, .pth, .onnx or float .tflite"
ASK_NORMALIZATION = f"give --normalization {'|'.join(NORMALIZATIONS)}, or mean/std in 0..255 as R,G,B/R,G,B"


@dataclass(frozen=True)
class SourceOptions:
    """Facts about a float network that its file may not contain.

    Attributes:
        resolution: side of the input picture, pixels, for sources that can have any.
        normalization: for an .onnx, a float .tflite or a torch module: a name in NORMALIZATIONS, or
            "R,G,B/R,G,B" (mean/std in 0..255).
        labels: the class names in the order of the outputs, or a text file with one name per line.
        input_shape: for an .onnx whose input shape is not fixed.
    """

    resolution: int | None = None
    normalization: str | None = None
    labels: str | Path | Sequence[str] | None = None
    input_shape: Shape | None = None


@dataclass(frozen=True)
class Source:
    """A float network, simplified.

    Attributes:
        graph: the network's graph, which takes pixels and returns logits.
        labels: class names, one per output; None if neither the file nor the user names them.
        facts: where the network came from, for a bundle's manifest.
        warnings: what the user should know about it, one sentence each without a full stop.
    """

    graph: Graph
    labels: tuple[str, ...] | None
    facts: Facts
    warnings: tuple[str, ...] = ()


def open_source(
    source: str | Path | nn.Module, options: SourceOptions = SourceOptions(), progress: Progress = silent
) -> Source:
    """Read a float network.

    Args:
        source: a variant's name with ImageNet weights; the path of a .safetensors, .npz, .pth, .onnx or float
            .tflite; or a torch module that takes normalized RGB [1, 3, H, W] and returns logits [1, N].

    Raises:
        EdgenetError: the source cannot be read (see the readers), a weight is not a finite number, or the
            number of labels differs from the number of outputs.
    """
    if isinstance(source, nn.Module):
        opened = _open_module(source, options)
    elif _is(source, ".edgenet"):
        raise EdgenetError(f"{source} is a bundle, which holds no float network to convert", FLOAT_SOURCE)
    elif _is(source, ".onnx"):
        opened = _open_onnx(Path(source), options)
    elif _is(source, ".tflite"):
        opened = _open_tflite(Path(source), options)
    else:
        opened = _open_network(str(source), options, progress)
    warnings = opened.warnings
    empty = all_zero_layers(opened.graph)
    if empty:
        warnings += (f"all weights are zero in {', '.join(empty)}: check that the network was trained",)
    labels = opened.labels if options.labels is None else _labels(options.labels, opened.graph.classes)
    return replace(opened, labels=labels, warnings=warnings)


def options_for(source: str | Path, options: SourceOptions) -> SourceOptions:
    """Return the options without those that do not apply to this source, which `open_source` would refuse."""
    if _is(source, ".onnx"):
        return replace(options, resolution=None)
    return replace(options, normalization=None, input_shape=None)


def _is(source: str | Path, suffix: str) -> bool:
    return os.fspath(source).lower().endswith(suffix)


def _open_module(module: nn.Module, options: SourceOptions) -> Source:
    """Read a torch module; the weights are copied, so later training does not change the result."""
    name = type(module).__name__
    if options.resolution is None:
        raise EdgenetError(
            f"the module {name} does not say how large its input picture is", "give resolution=PIXELS"
        )
    if options.input_shape is not None:
        raise EdgenetError(
            f"the module {name} takes its input shape from resolution", "leave out input_shape"
        )
    graph = _traced(module, options.resolution, name)
    weights = Weights(f"the torch module {name}", "not stated by the module")
    facts = Facts(name, weights, resolution=options.resolution)
    return Source(simplify(graph, module_normalization(module, options)), None, facts)


def module_normalization(module: nn.Module, options: SourceOptions) -> Normalization:
    """Return the normalization that the user gave for a module; without one, that of edgenet's own networks.

    Raises:
        EdgenetError: the module is another one, and no normalization was given; or the given text is not one.
    """
    own = getattr(module, "normalization", None)
    if options.normalization is None and isinstance(own, Normalization):
        return own
    if options.normalization is None:
        raise EdgenetError(
            f"the module {type(module).__name__} does not say what its pixels went through in training",
            f"give normalization={'|'.join(NORMALIZATIONS)}, or mean/std in 0..255 as R,G,B/R,G,B",
        )
    return parse_normalization(options.normalization)


def _traced(module: nn.Module, side: int, name: str) -> Graph:
    if side < 1:
        raise EdgenetError(f"the resolution is {side}", "give at least 1 pixel")
    try:
        with evaluating(module):
            return read_torch(module, (side, side), name)
    except EdgenetError:
        raise
    except Exception as error:  # tracing runs the module's own code, which may raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise EdgenetError(
            f"torch.fx cannot trace the module {name}: {reason}",
            "give a module whose forward takes one picture and has no branches that depend on it",
        ) from error


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and all its parts into evaluation mode, and every part back into its own mode afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _open_onnx(path: Path, options: SourceOptions) -> Source:
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "check the path")
    if options.normalization is None:
        raise EdgenetError(f"{path} does not say what its pixels went through in training", ASK_NORMALIZATION)
    if options.resolution is not None:
        raise EdgenetError(
            "an .onnx has its own resolution", "leave out --resolution, or export at another one"
        )
    from edgenet.graph.onnx_reader import read_onnx  # onnx takes 20 MB of memory: import it late

    graph = simplify(read_onnx(path, options.input_shape), parse_normalization(options.normalization))
    weights = Weights(path.name, "not stated by the file", sha256(path))
    return Source(graph, None, Facts(path.stem, weights, resolution=graph.size[0]))


def _open_tflite(path: Path, options: SourceOptions) -> Source:
    """Open a float .tflite from edgenet or another tool; keep its labels and the record of its origin."""
    if options.resolution is not None or options.input_shape is not None:
        raise EdgenetError("a .tflite has its own resolution", "leave out --resolution and --input-shape")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check the path") from None
    file = read_float_file(data, path, with_labels=options.labels is None)
    graph = simplify(file.graph, _normalization_of(file, path, options))
    warnings = (f"{path} also holds {', '.join(file.dropped)}, which is not kept",) if file.dropped else ()
    return Source(graph, file.labels, file.facts, warnings)


def _normalization_of(file: FloatFile, path: Path, options: SourceOptions) -> Normalization | None:
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
        found = f"{path} does not say what its pixels went through in training"
        if file.scales_pixels:
            raise EdgenetError(
                f"{found}; it scales its input itself, so this may be 0..255", ASK_NORMALIZATION
            )
        raise EdgenetError(found, ASK_NORMALIZATION)
    mean, std = (values * 3 if len(values) == 1 else values for values in file.stated)
    return Normalization((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def _open_network(source: str, options: SourceOptions, progress: Progress) -> Source:
    if options.normalization is not None or options.input_shape is not None:
        raise EdgenetError(
            f"{source} has its own normalization and shape",
            "give --normalization and --input-shape for .onnx only",
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
    """Return the normalization with this name, or the one written as "R,G,B/R,G,B" (mean/std in 0..255).

    Raises:
        EdgenetError: the text is neither.
    """
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]
    try:
        mean, std = (tuple(float(n) for n in part.split(",")) for part in text.split("/"))
        (red, green, blue), (red_std, green_std, blue_std) = mean, std
    except ValueError:
        raise EdgenetError(
            f"--normalization {text} is not a normalization",
            f"give {', '.join(NORMALIZATIONS)}, or R,G,B/R,G,B in 0..255",
        ) from None
    return Normalization((red, green, blue), (red_std, green_std, blue_std))


def _labels(labels: str | Path | Sequence[str], outputs: int) -> tuple[str, ...]:
    names = label_names(labels)
    if len(names) != outputs:
        where = "labels" if isinstance(labels, list | tuple) else labels
        raise EdgenetError(
            f"{where} names {len(names)} classes and the network has {outputs} outputs",
            "give one label per line, in the order of the outputs",
        )
    return names


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
        path.stem, _weights(data, path, stated), resolution=graph.size[0]
    )
    return FloatFile(
        graph=graph,
        labels=_tflite_labels(data, path, graph.classes) if with_labels else None,
        facts=facts,
        plain_pixels=takes_plain_pixels(program),
        stated=read_normalization(data),
        dropped=stated.dropped,
    )


def _weights(data: bytes, path: Path, stated: SourceInfo) -> Weights:
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
