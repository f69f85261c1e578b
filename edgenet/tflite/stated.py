"""Reads what another tool's .tflite says about itself in its metadata, and what edgenet drops of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgenet.text import one_line
from edgenet.tflite.metadata import labels_name, read_files, read_metadata


@dataclass(frozen=True)
class Stated:
    """What a file's metadata says about the model; fields that it does not give are empty strings.

    Attributes:
        name: the model's name.
        author: the model's author.
        licence: the model's licence.
        dropped: the parts that a converted file will not have, one phrase each.
    """

    name: str = ""
    author: str = ""
    licence: str = ""
    dropped: tuple[str, ...] = ()


def read_stated(tflite: bytes) -> Stated:
    """Read the metadata.

    Raises:
        EdgenetError: the metadata or the appended files are damaged.
    """
    metadata = read_metadata(tflite) or {}
    dropped = [*_steps(metadata), *_files(metadata, read_files(tflite))]
    name, author, licence = (one_line(metadata.get(key, "")) for key in ("name", "author", "license"))
    return Stated(name, author, licence, tuple(dropped))


def _tensors(metadata: Mapping[str, Any], which: str) -> list[Mapping[str, Any]]:
    return [t for subgraph in metadata.get("subgraph_metadata", [])[:1] for t in subgraph.get(which, [])[:1]]


def _steps(metadata: Mapping[str, Any]) -> Iterable[str]:
    """Name the steps before and after the network, other than the input's normalization."""
    for tensor in _tensors(metadata, "output_tensor_metadata"):
        if tensor.get("process_units"):
            yield "steps after the scores (calibration or a threshold)"
    for tensor in _tensors(metadata, "input_tensor_metadata"):
        if any("options" not in unit for unit in tensor.get("process_units", [])):
            yield "steps before the network other than a normalization"


def _files(metadata: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterable[str]:
    kept = {labels_name(metadata), "labels.txt", "edgenet.json"}
    for name in files:
        if name not in kept:
            yield f"the file {one_line(name)}"
