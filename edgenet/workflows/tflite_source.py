"""Opens a float .tflite of edgenet or of another tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenet_device.model_file import verified

from edgenet.errors import EdgenetError
from edgenet.files import sha256
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
