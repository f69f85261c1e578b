"""Reads a float .tflite as a source: its graph, labels, pixel format and origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenet.bundle.manifest import Facts, Weights
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.graph.ir import Graph
from edgenet.graph.operators import Affine
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.metadata import read_labels, read_normalization
from edgenet.tflite.model_file import read_facts
from edgenet.tflite.plain_form import takes_plain_pixels
from edgenet.tflite.stated import Stated, read_stated
from edgenet.tflite.to_graph import float_graph


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
    stated = read_stated(data)
    facts = read_facts(data, str(path)) or Facts(
        path.stem, _weights(data, path, stated), resolution=graph.size[0]
    )
    return FloatFile(
        graph=graph,
        labels=_labels(data, path, graph.classes) if with_labels else None,
        facts=facts,
        plain_pixels=takes_plain_pixels(program),
        stated=read_normalization(data),
        dropped=stated.dropped,
    )


def _weights(data: bytes, path: Path, stated: Stated) -> Weights:
    """Return where the weights came from, as far as the file says."""
    name = f" '{stated.name}'" if stated.name else ""
    by = f" by {stated.author}" if stated.author else ""
    return Weights(f"{path.name}{name}{by}", stated.licence or "not stated by the file", sha256(data))


def _labels(data: bytes, path: Path, outputs: int) -> tuple[str, ...] | None:
    labels = read_labels(data)
    if labels is not None and len(labels) != outputs:
        raise EdgenetError(
            f"{path} names {len(labels)} classes and has {outputs} outputs",
            "give the right names with --labels",
        )
    return tuple(labels) if labels else None
