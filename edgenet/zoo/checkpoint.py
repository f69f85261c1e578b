"""A network with its weights and their origin, and edgenet's checkpoints: safetensors files that hold all of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from edgenet_device.file_kind import SAFETENSORS, TORCH, TORCH_EXPORT, TORCHSCRIPT, UNKNOWN, file_kind
from edgenet_device.foreign_text import read_json
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.zoo.classifier import Classifier, NetworkOptions, Normalization, PixelNetwork
from edgenet.zoo.registry import Variant, build_with, parse_variant

LICENCE_UNKNOWN = "not stated by the file"


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready to be evaluated or converted.

    Attributes:
        module: the network, in evaluation mode; it takes normalized RGB [N,3,H,W].
        variant: the network's architecture, width and resolution.
        labels: the label of every output.
        normalization: the normalization that `module` expects of its input.
        origin: where the weights came from.
        licence: the licence of the weights.
        assumed: what the file does not say and the reader assumed, one sentence each without a full stop.

    Raises:
        EdgenetError: the number of labels is not the number of outputs.
    """

    module: Classifier
    variant: Variant
    labels: tuple[str, ...]
    normalization: Normalization
    origin: str
    licence: str
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        classes = self.module.options.classes
        if len(self.labels) != classes:
            raise EdgenetError(
                f"{self.variant.name} has {classes} outputs and {len(self.labels)} labels",
                "give one label per output",
            )

    def with_pixels(self) -> PixelNetwork:
        """Return the network with its normalization in front: float RGB [N,3,H,W] in 0..255 to logits [N,classes]."""
        return PixelNetwork(self.module, self.normalization)


FORMAT_VERSION = 1
# All metadata is one JSON text under one key, because safetensors writes several keys in no fixed order.
METADATA_KEY = "edgenet.checkpoint"


def save_checkpoint(path: Path, network: LoadedNetwork) -> None:
    """Write weights and metadata. An older file at `path` is replaced only when the new one is complete.

    Raises:
        EdgenetError: the file cannot be written.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.module.state_dict().items()}
    metadata = {METADATA_KEY: json.dumps(_metadata_of(network), sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def _metadata_of(network: LoadedNetwork) -> dict[str, Any]:
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
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise EdgenetError(
            f"{path} has damaged metadata ({type(error).__name__}: {error})", "save the checkpoint again"
        ) from error


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
            f"{path} is not a complete safetensors file ({error})", "save or download it again"
        ) from error
    return _parse_metadata(metadata.get(METADATA_KEY), path), tensors


def _parse_metadata(text: str | None, path: Path) -> dict[str, Any]:
    if text is None:
        raise EdgenetError(
            f"{path} is a safetensors file without edgenet's metadata", "give a checkpoint that edgenet saved"
        )
    try:
        parsed = read_json(text)
    except ValueError as error:
        raise EdgenetError(f"{path} has damaged metadata ({error})", "save the checkpoint again") from error
    if not isinstance(parsed, dict):
        raise EdgenetError(f"{path} has damaged metadata (not a JSON object)", "save the checkpoint again")
    return parsed


def _rebuild(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> LoadedNetwork:
    variant = parse_variant(str(metadata["variant"]))
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
        # Checkpoints of older versions do not say it.
        fixed_stem=bool(values.get("fixed_stem", False)),
    )


def _three(values: list[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def load_tensors(
    variant: Variant, options: NetworkOptions, tensors: Mapping[str, Tensor], source: str
) -> Classifier:
    """Return a network with exactly these tensors, in evaluation mode.

    Args:
        variant: the network to build.
        options: the options to build the network with.
        tensors: the tensors by name.
        source: where the tensors come from, for error messages.

    Raises:
        EdgenetError: a tensor is missing, is left over, has another shape, or has values that are not finite.
    """
    # The meta device allocates and initializes nothing, in case the tensors do not fit.
    with torch.device("meta"):
        network = build_with(variant, options)
    expected = network.state_dict()
    # These count training batches and do not affect the result; other formats lack them.
    counters = {name: torch.tensor(0) for name in expected if name.endswith(".num_batches_tracked")}
    tensors = {**counters, **tensors}
    check_tensors(
        expected,
        tensors,
        f"{source} does not hold {variant.name} with {options.classes} classes",
        "give weights of this network, or name the network that these weights belong to",
    )
    network.load_state_dict(
        {name: _as_expected(tensors[name], expected[name]) for name in expected}, assign=True
    )
    return network.eval()


def _as_expected(tensor: Tensor, expected: Tensor) -> Tensor:
    return tensor.to(expected.dtype).contiguous()


def check_tensors(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], mismatch: str, remedy: str
) -> None:
    """Check that tensors have exactly the names and shapes that a network expects, and finite values.

    Args:
        expected: the network's tensors by name; their values do not matter.
        tensors: the tensors by name.
        mismatch: what is wrong if they differ, the start of the error message.
        remedy: what to do if a name or shape differs.

    Raises:
        EdgenetError: a tensor is missing, is left over, has another shape, or has values that are not finite.
    """
    if missing := expected.keys() - tensors.keys():
        raise EdgenetError(f"{mismatch}: {_some(missing, 'missing')}", remedy)
    if extra := tensors.keys() - expected.keys():
        raise EdgenetError(f"{mismatch}: {_some(extra, 'left over')}", remedy)
    if other := [name for name in expected if tensors[name].shape != expected[name].shape]:
        name = other[0]
        found, wanted = tuple(tensors[name].shape), tuple(expected[name].shape)
        raise EdgenetError(
            f"{mismatch}: {_some(other, 'of another shape')} ({name} is {found}, expected {wanted})", remedy
        )
    if broken := [name for name in expected if not bool(torch.isfinite(tensors[name]).all())]:
        first = tensors[min(broken)]
        bad = int((~torch.isfinite(first)).sum())
        raise EdgenetError(
            f"{mismatch}: {_some(broken, 'not finite')} ({min(broken)}: {bad} of its {first.numel()} values)",
            "the file is damaged or its training diverged; use another",
        )


def _some(names: Iterable[str], what: str) -> str:
    ordered = sorted(names)
    more = ", ..." if len(ordered) > 3 else ""
    noun = "tensor" if len(ordered) == 1 else "tensors"
    return f"{len(ordered)} {noun} {what}: {', '.join(ordered[:3])}{more}"


def is_foreign_checkpoint(path: Path) -> bool:
    """Return whether a file is a checkpoint of torch, or a complete .safetensors that edgenet did not write."""
    kind = file_kind(path) if path.is_file() else UNKNOWN
    if kind is not SAFETENSORS:
        return kind in (TORCH, TORCHSCRIPT, TORCH_EXPORT)
    try:
        with safe_open(path, framework="pt") as file:
            return METADATA_KEY not in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False
