"""Writes and reads TFLite metadata: what a model's input and output mean, its labels and its facts, inside the .tflite.

It has two parts, as phone and browser clients (MediaPipe Tasks, ML Kit) expect:

- a buffer of the model named `TFLITE_METADATA`: a separate flatbuffer with the file identifier `M001`
  (`metadata_buffer`, `read_metadata`);
- a zip archive appended to the file, with the labels and edgenet's facts, stored without compression (`append_files`,
  `read_files`), because MediaPipe refuses compressed (deflated) archives.

The tables and their source are in `metadata_tables`. `read_source_info` reads what another tool's file says
about itself, and what a converted file will not have of it.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgenet_device.foreign_text import read_json

from edgenet.data.labels import parse_labels
from edgenet.errors import EdgenetError, one_line
from edgenet.files import UNREADABLE_ZIP, stored_zip
from edgenet.manifest import Facts, decode
from edgenet.tflite.metadata_tables import decode_root, encode_root

METADATA_NAME = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
FACTS_FILE = "edgenet.json"
IDENTIFIER = b"M001"


@dataclass(frozen=True)
class ModelInfo:
    """What people should know about the model; empty fields are left out of the file."""

    name: str
    description: str = ""
    version: str = ""
    author: str = ""
    licence: str = ""


@dataclass(frozen=True)
class ImageTensor:
    """The input: an RGB image, uint8 0..255, with one normalization (x - mean) / std for all channels.

    MediaPipe takes only one mean and one std. With mean 127 and std 127.5 the normalized values lie exactly
    on the steps of the int8 input; with mean 127.5 they would lie between two steps.
    """

    name: str = "image"
    mean: float = 127.0
    std: float = 127.5


# All that we write is in the first version of the schema already, so any parser understands it.
_MIN_PARSER_VERSION = "1.0.0"
_RGB = 1  # ColorSpaceType.RGB
_TENSOR_AXIS_LABELS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS


def metadata_buffer(
    info: ModelInfo,
    image: ImageTensor = ImageTensor(),
    output: str = "probability",
    labels_file: str | None = LABELS_FILE,
) -> bytes:
    """Return the bytes of an image classifier's `TFLITE_METADATA` buffer; equal arguments give equal bytes.

    Args:
        info: name, description and so on.
        image: the only input tensor.
        output: name of the only output tensor, a probability 0..1 for each class.
        labels_file: the file in the appended zip that names the classes, or None if there is none.
    """
    labels = {"name": labels_file, "description": "one name per class", "type": _TENSOR_AXIS_LABELS}
    root = {
        "name": info.name,
        "description": info.description or None,
        "version": info.version or None,
        "subgraph_metadata": [
            {
                "input_tensor_metadata": [_image_metadata(image)],
                "output_tensor_metadata": [
                    {
                        "name": output,
                        "description": "Probability of each class.",
                        "content": {"content_properties": ("FeatureProperties", {})},
                        "stats": {"max": [1.0], "min": [0.0]},
                        "associated_files": [labels] if labels_file else None,
                    }
                ],
            }
        ],
        "author": info.author or None,
        "license": info.licence or None,
        "min_parser_version": _MIN_PARSER_VERSION,
    }
    return encode_root("ModelMetadata", root, IDENTIFIER)


def _image_metadata(image: ImageTensor) -> dict[str, Any]:
    return {
        "name": image.name,
        "description": "RGB image, values 0 to 255.",
        "content": {"content_properties": ("ImageProperties", {"color_space": _RGB})},
        "process_units": [{"options": ("NormalizationOptions", {"mean": [image.mean], "std": [image.std]})}],
        "stats": {"max": [255.0], "min": [0.0]},
    }


def read_metadata(tflite: bytes) -> dict[str, Any] | None:
    """Return the metadata of a .tflite as plain dictionaries and lists, or None if it has none.

    The names are the schema's. A union becomes a pair (name of the table, its fields). Absent fields are
    left out.

    Raises:
        EdgenetError: the file is not a .tflite, or its metadata is damaged or of another major version.
    """
    buffer = _find_buffer(tflite)
    if buffer is None:
        return None
    if buffer[4:8] != IDENTIFIER:
        found = buffer[4:8].decode("ascii", "replace")
        raise EdgenetError(
            f"the model's metadata has identifier {found!r}, expected {IDENTIFIER.decode()!r}",
            "convert the model again",
        )
    try:
        return decode_root("ModelMetadata", buffer)
    except (struct.error, IndexError, ValueError, TypeError) as error:
        raise EdgenetError("the model's metadata is damaged", "convert the model again") from error


def _find_buffer(tflite: bytes) -> bytes | None:
    """Return the bytes of the buffer that the model's metadata list calls TFLITE_METADATA, or None."""
    # imported only here because the schema is a module of 20,000 lines
    from ai_edge_litert import schema_py_generated as schema

    if tflite[4:8] != b"TFL3":
        raise EdgenetError("this is not a .tflite model (no TFL3 at byte 4)", "give a .tflite file")
    try:
        model = schema.Model.GetRootAs(tflite, 0)
        for index in range(model.MetadataLength()):
            entry = model.Metadata(index)
            if entry.Name() == METADATA_NAME.encode():
                return bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise EdgenetError("the .tflite model is damaged", "fetch or convert it again") from error
    return None


def append_files(tflite: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return the .tflite with `files` appended as an uncompressed zip, in the given order.

    The same arguments give the same bytes. Offsets in the zip count from the start of the .tflite, as both
    Python's zipfile and MediaPipe's minizip expect. The .tflite's own bytes do not change.

    Raises:
        EdgenetError: the .tflite carries files already.
    """
    already = read_files(tflite)
    if already:
        raise EdgenetError(
            f"the model carries files already: {', '.join(already)}", "give the model without appended files"
        )
    return stored_zip(files, behind=tflite)


_ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE = 22  # bytes of the end record without a comment
_LARGEST = 1 << 25
"""The most unpacked bytes of all appended files, which are lists of names; zeros can unpack to 1000 times their
size."""
_LONGEST_REASON = 200


def read_files(tflite: bytes) -> dict[str, bytes]:
    """Return the files in the zip appended to a .tflite, by name; empty if there is no zip.

    Raises:
        EdgenetError: there is an archive but it cannot be read, or its files unpack to more than 32 MiB.
    """
    # Only an end record as the very last bytes counts: weights may hold any bytes, also "PK".
    if tflite[-_ZIP_END_SIZE:][:4] != _ZIP_END:
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(tflite)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size <= _LARGEST:
                return {name: archive.read(name) for name in archive.namelist()}
    except UNREADABLE_ZIP as error:
        reason = one_line(str(error), _LONGEST_REASON)
        raise EdgenetError(f"the model's appended files are damaged: {reason}", "convert it again") from error
    raise EdgenetError(
        f"the model's appended files unpack to {size} bytes, edgenet reads up to {_LARGEST}",
        "convert it again",
    )


def read_labels(tflite: bytes) -> list[str] | None:
    """Return the class names that the model carries, one per output, or None if it has none.

    They come from the file that the metadata names for the first output; a file without a locale comes before
    one for a language. If the metadata names none, they come from `labels.txt`, which the device scripts read
    too.

    Raises:
        EdgenetError: the metadata names a labels file that is not there or is not UTF-8 text.
    """
    name = _labels_name(read_metadata(tflite) or {})
    files = read_files(tflite)
    if name is None:
        return (
            parse_labels(files[LABELS_FILE], f"{LABELS_FILE} in the model") if LABELS_FILE in files else None
        )
    if name not in files:
        raise EdgenetError(
            f"the model's metadata names {one_line(name)} but the file does not carry it (cut off?)",
            "fetch or convert the model again",
        )
    return parse_labels(files[name], f"{one_line(name)} in the model")


def _labels_name(metadata: Mapping[str, Any]) -> str | None:
    """Return the file that names the first output's classes, or None; a file without a locale comes first."""
    named = [
        file
        for subgraph in metadata.get("subgraph_metadata", [])[:1]
        for tensor in subgraph.get("output_tensor_metadata", [])[:1]
        for file in tensor.get("associated_files", [])
        if file.get("type") == _TENSOR_AXIS_LABELS and "name" in file
    ]
    named.sort(key=lambda file: bool(file.get("locale")))
    return str(named[0]["name"]) if named else None


def read_facts(tflite: bytes, where: str) -> Facts | None:
    """Return the facts that `write_model` stored, or None for another tool's file.

    Args:
        tflite: the bytes of the file.
        where: how error messages call the file.

    Raises:
        EdgenetError: the facts are damaged.
    """
    files = read_files(tflite)
    if FACTS_FILE not in files:
        return None
    try:
        value = read_json(files[FACTS_FILE])
    except ValueError:
        raise EdgenetError(f"{FACTS_FILE} in {where} is damaged", "convert the model again") from None
    return decode(Facts, value, f"{FACTS_FILE} in {where}")


def read_normalization(tflite: bytes) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return (mean, std) from the first input's metadata: each one number for all channels, or three numbers.

    The result is None if the file has no metadata, or the metadata gives no normalization.
    """
    for subgraph in (read_metadata(tflite) or {}).get("subgraph_metadata", [])[:1]:
        for tensor in subgraph.get("input_tensor_metadata", [])[:1]:
            for unit in tensor.get("process_units", []):
                kind, options = unit.get("options", ("", {}))
                mean, std = options.get("mean", []), options.get("std", [])
                if kind == "NormalizationOptions" and len(mean) == len(std) in (1, 3):
                    return tuple(mean), tuple(std)
    return None


@dataclass(frozen=True)
class SourceInfo:
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


def read_source_info(tflite: bytes) -> SourceInfo:
    """Read the metadata.

    Raises:
        EdgenetError: the metadata or the appended files are damaged.
    """
    metadata = read_metadata(tflite) or {}
    dropped = [*_steps(metadata), *_files(metadata, read_files(tflite))]
    name, author, licence = (one_line(metadata.get(key, "")) for key in ("name", "author", "license"))
    return SourceInfo(name, author, licence, tuple(dropped))


def _steps(metadata: Mapping[str, Any]) -> Iterable[str]:
    """Name the steps before and after the network, other than the input's normalization."""
    for tensor in _tensors(metadata, "output_tensor_metadata"):
        if tensor.get("process_units"):
            yield "steps after the scores (calibration or a threshold)"
    for tensor in _tensors(metadata, "input_tensor_metadata"):
        if any("options" not in unit for unit in tensor.get("process_units", [])):
            yield "steps before the network other than a normalization"


def _tensors(metadata: Mapping[str, Any], which: str) -> list[Mapping[str, Any]]:
    return [t for subgraph in metadata.get("subgraph_metadata", [])[:1] for t in subgraph.get(which, [])[:1]]


def _files(metadata: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterable[str]:
    kept = {_labels_name(metadata), LABELS_FILE, FACTS_FILE}
    for name in files:
        if name not in kept:
            yield f"the file {one_line(name)}"
