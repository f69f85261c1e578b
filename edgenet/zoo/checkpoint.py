"""edgenet's checkpoints: safetensors files with the weights and the metadata needed to rebuild the network."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.loaded import LoadedNetwork, load_tensors
from edgenet.zoo.normalization import Normalization
from edgenet.zoo.registry import parse_variant

FORMAT_VERSION = 1
# All metadata is one JSON text under one key, because safetensors writes several keys in no fixed order.
METADATA_KEY = "edgenet.checkpoint"


def save_checkpoint(path: Path, network: LoadedNetwork) -> None:
    """Write weights and metadata. An older file at `path` is replaced only when the new one is complete.

    Raises:
        EdgenetError: the file cannot be written.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.module.state_dict().items()}
    metadata = {METADATA_KEY: json.dumps(_metadata(network), sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def _metadata(network: LoadedNetwork) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "variant": network.variant.name,
        "options": dataclasses.asdict(network.module.options),
        "labels": network.labels,
        "origin": network.origin,
        "licence": network.licence,
    }


def load_checkpoint(path: Path) -> LoadedNetwork:
    """Read a checkpoint that `save_checkpoint` wrote.

    Raises:
        EdgenetError: the file does not exist, is not a safetensors file or not a checkpoint, has a newer format or an
            unknown architecture, or its tensors do not fit the network.
    """
    metadata, tensors = _read(path)
    version = metadata.get("format")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise EdgenetError(
            f"{path} is a checkpoint of format {version}, but this edgenet reads formats up to {FORMAT_VERSION}",
            "update edgenet",
        )
    try:
        return _rebuild(metadata, tensors, path)
    except EdgenetError as error:
        # Errors about a variant name or an option do not name the file.
        if str(path) in error.found:
            raise
        raise EdgenetError(f"{path}: {error.found}", error.remedy) from error
    except (KeyError, TypeError, ValueError) as error:
        raise EdgenetError(
            f"{path} has damaged metadata ({type(error).__name__}: {error})", "save the checkpoint again"
        ) from error


def _rebuild(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> LoadedNetwork:
    variant = parse_variant(metadata["variant"])
    options = options_from(metadata["options"])
    labels = tuple(str(label) for label in metadata["labels"])
    network = load_tensors(variant, options, tensors, str(path))
    origin, licence = str(metadata["origin"]), str(metadata["licence"])
    return LoadedNetwork(network, variant, labels, options.normalization, origin, licence)


def options_from(values: Mapping[str, Any]) -> NetworkOptions:
    """Return a network's options from JSON values, the inverse of `dataclasses.asdict`.

    Raises:
        KeyError, TypeError, ValueError, EdgenetError: the values are not those of options.
    """
    normalization = values["normalization"]
    dropout = values["dropout"]
    return NetworkOptions(
        classes=int(values["classes"]),
        dropout=None if dropout is None else float(dropout),
        padding=values["padding"],
        epsilon=float(values["epsilon"]),
        normalization=Normalization(_three(normalization["mean"]), _three(normalization["std"])),
    )


def _three(values: list[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Cloned because safetensors may return views of the file, and the file may be replaced later.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise EdgenetError(
            f"{path} is not a complete safetensors file ({error})", "give a checkpoint that edgenet saved"
        ) from error
    return _parsed(metadata.get(METADATA_KEY), path), tensors


def _parsed(text: str | None, path: Path) -> dict[str, Any]:
    if text is None:
        raise EdgenetError(
            f"{path} is a safetensors file without edgenet's metadata", "give a checkpoint that edgenet saved"
        )
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: very deeply nested brackets
        raise EdgenetError(f"{path} has damaged metadata ({error})", "save the checkpoint again") from error
    if not isinstance(parsed, dict):
        raise EdgenetError(f"{path} has damaged metadata (not a JSON object)", "save the checkpoint again")
    return parsed
