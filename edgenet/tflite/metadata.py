"""TFLite metadata: what a network's input and output mean, and its labels, inside the .tflite file itself.

Two parts, as phone and browser clients (MediaPipe Tasks, ML Kit) read them:

- a buffer of the model named `TFLITE_METADATA`: a flatbuffer of its own with file identifier `M001`
  (`metadata_buffer`, `read_metadata`);
- a zip archive appended to the file, with the labels, stored without compression (`append_files`,
  `read_files`). MediaPipe refuses a deflated one.

The tables and their source are in `metadata_tables`.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgenet.errors import EdgenetError
from edgenet.files import UNREADABLE_ZIP, stored_zip
from edgenet.labels import parse_labels
from edgenet.text import one_line
from edgenet.tflite.metadata_tables import decode_root, encode_root

METADATA_NAME = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
IDENTIFIER = b"M001"

# The newest thing we write is in the first version of the schema: any parser understands all of it.
_MIN_PARSER_VERSION = "1.0.0"
_RGB = 1  # ColorSpaceType.RGB
_TENSOR_AXIS_LABELS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS
_ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE = 22  # of the end record without a comment
_LARGEST = (
    1 << 25
)  # bytes of all files behind a model, which are lists of names; packed, zeros take a thousandth
_LONGEST_REASON = 200


@dataclass(frozen=True)
class ModelInfo:
    """What a person should know of the model; empty fields are left out of the file."""

    name: str
    description: str = ""
    version: str = ""
    author: str = ""
    licence: str = ""


@dataclass(frozen=True)
class ImageTensor:
    """The input: an RGB image, uint8 0..255, with one normalization (x - mean) / std for all channels.

    MediaPipe takes only one mean and one std. With mean 127 and std 127.5 the normalized values lie on the
    steps of the int8 input; with mean 127.5 they would lie between two.
    """

    name: str = "image"
    mean: float = 127.0
    std: float = 127.5


def metadata_buffer(
    info: ModelInfo,
    image: ImageTensor = ImageTensor(),
    output: str = "probability",
    labels_file: str | None = LABELS_FILE,
) -> bytes:
    """The bytes of the buffer `TFLITE_METADATA` of an image classifier; the same arguments, the same bytes.

    Args:
        info: name, description and so on.
        image: the only input tensor.
        output: name of the only output tensor, a probability 0..1 for each class.
        labels_file: the member of the appended zip that names the classes, or None where there is none.
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


def read_metadata(tflite: bytes) -> dict[str, Any] | None:
    """The metadata of a .tflite as plain dictionaries and lists; None where it has none.

    The names are the schema's. A union reads as a pair (name of the table, its fields). Absent fields are
    left out.

    Raises:
        EdgenetError: the file is no .tflite, or its metadata is damaged or of another major version.
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


def append_files(tflite: bytes, files: Mapping[str, bytes]) -> bytes:
    """The .tflite with `files` in a zip behind it: stored, in the order given, the same bytes every time.

    Offsets in the zip count from the start of the .tflite, as both Python's zipfile and MediaPipe's minizip
    expect. The flatbuffer in front is untouched.

    Raises:
        EdgenetError: the .tflite carries files already.
    """
    already = read_files(tflite)
    if already:
        raise EdgenetError(
            f"the model carries files already: {', '.join(already)}", "append to the model as it was written"
        )
    return stored_zip(files, behind=tflite)


def read_files(tflite: bytes) -> dict[str, bytes]:
    """The files in the zip behind a .tflite, by name; empty where there is none.

    Raises:
        EdgenetError: there is an archive but it cannot be read, or its files are larger than any labels.
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
        raise EdgenetError(f"the files behind the model are damaged: {reason}", "convert it again") from error
    raise EdgenetError(
        f"the files behind the model unpack to {size} bytes, edgenet reads up to {_LARGEST}",
        "convert it again",
    )


def read_labels(tflite: bytes) -> list[str] | None:
    """The class names that the model carries, one per output; None where it has none.

    The file that the metadata names for the first output, the one without a locale before one for a language; else
    a `labels.txt`, which the device scripts take too.

    Raises:
        EdgenetError: the metadata names a labels file that is not there or is not UTF-8 text.
    """
    name = labels_name(read_metadata(tflite) or {})
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


def read_normalization(tflite: bytes) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """(mean, std) of the first input as its metadata states them: one number for all channels, or three.

    None where the file has no metadata or it does not say.
    """
    for subgraph in (read_metadata(tflite) or {}).get("subgraph_metadata", [])[:1]:
        for tensor in subgraph.get("input_tensor_metadata", [])[:1]:
            for unit in tensor.get("process_units", []):
                kind, options = unit.get("options", ("", {}))
                mean, std = options.get("mean", []), options.get("std", [])
                if kind == "NormalizationOptions" and len(mean) == len(std) in (1, 3):
                    return tuple(mean), tuple(std)
    return None


def _image_metadata(image: ImageTensor) -> dict[str, Any]:
    return {
        "name": image.name,
        "description": "RGB image, values 0 to 255.",
        "content": {"content_properties": ("ImageProperties", {"color_space": _RGB})},
        "process_units": [{"options": ("NormalizationOptions", {"mean": [image.mean], "std": [image.std]})}],
        "stats": {"max": [255.0], "min": [0.0]},
    }


def labels_name(metadata: Mapping[str, Any]) -> str | None:
    """The file with the names of the first output's classes, of several the one without a locale."""
    named = [
        file
        for subgraph in metadata.get("subgraph_metadata", [])[:1]
        for tensor in subgraph.get("output_tensor_metadata", [])[:1]
        for file in tensor.get("associated_files", [])
        if file.get("type") == _TENSOR_AXIS_LABELS and "name" in file
    ]
    named.sort(key=lambda file: bool(file.get("locale")))
    return str(named[0]["name"]) if named else None


def _find_buffer(tflite: bytes) -> bytes | None:
    """The bytes of the buffer that the model's metadata list calls TFLITE_METADATA."""
    # Here and not above: the schema is a module of 20,000 lines.
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
