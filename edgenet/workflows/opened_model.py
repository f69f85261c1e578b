"""Opens a finished model, a .tflite file or a bundle, and says where it came from, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenet_device.file_kind import BUNDLE, FLOAT_NETWORKS, TFLITE, UNKNOWN, file_kind, not_finished
from edgenet_device.model_file import ModelFile, open_model

from edgenet.bundle import open_bundle
from edgenet.manifest import Facts, Manifest
from edgenet.tflite.metadata import read_facts


@dataclass(frozen=True)
class OpenedModel:
    """A model that was read and checked.

    Attributes:
        file: the .tflite's bytes and labels, ready for a runtime.
        facts: where the model came from; None if the file does not record it.
    """

    file: ModelFile
    facts: Facts | None


def open_model_file(path: Path) -> OpenedModel:
    """Read a .tflite file or a bundle.

    Raises:
        EdgenetError: the file is neither, or is damaged; a bundle has an extra, missing or changed member, or
            a newer schema.
    """
    if _is_zip(path):
        if path.suffix != ".edgenet" and (kind := file_kind(path)).name == "cut-zip":
            raise not_finished(path, kind)
        facts: Facts | None = _facts_of(open_bundle(path).manifest)
        return OpenedModel(open_model(path), facts)
    file = open_model(path)
    return OpenedModel(file, read_facts(file.data, str(path)))


def is_finished(source: str) -> bool:
    """Return whether a source is a .tflite or a bundle, which LiteRT runs: by its content, else by its name."""
    path = Path(source)
    kind = file_kind(path) if path.is_file() else UNKNOWN
    named = path.suffix.lower() in (".tflite", ".edgenet")
    return kind in (TFLITE, BUNDLE) or (named and kind.name not in FLOAT_NETWORKS)


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(2) == b"PK"
    except OSError:
        return False  # `open_model` raises the error that says why it cannot be read


def _facts_of(manifest: Manifest) -> Facts:
    """Return the bundle's facts: its model's, and the accuracy recorded in the manifest."""
    return Facts(
        name=manifest.name,
        weights=manifest.weights,
        architecture=manifest.architecture,
        width=manifest.width,
        resolution=manifest.resolution,
        quantization=manifest.quantization,
        accuracy=manifest.accuracy,
        unknown=manifest.unknown,
    )
