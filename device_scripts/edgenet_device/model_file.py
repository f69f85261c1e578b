"""Opens a model: a `.tflite` file, or a bundle `NAME.edgenet`, whose members are verified before any is used.

The bundle is a zip with manifest.json, model.tflite, labels.txt and CARD.md; `manifest["members"][name]`
holds the SHA-256 and the size of each member. A bare `.tflite` carries its labels in a zip appended to it
(TFLite metadata, https://www.tensorflow.org/lite/models/convert/metadata).
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

from edgenet_device.errors import EdgenetError

SCHEMA_VERSION = 1
# Most bytes of unpacked labels or of an unpacked manifest. Without a limit a small file could fill the
# memory: packed zeros take a thousandth of their size.
_LARGEST = 1 << 25
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
)


@dataclass(frozen=True)
class ModelFile:
    """A verified model in memory.

    Attributes:
        path: the file it came from (.tflite or bundle).
        data: the bytes of the .tflite.
        sha256: the SHA-256 of `data`, hexadecimal.
        labels: one label per output, in order; empty when the file carries none.
        manifest: the bundle's manifest, or None for a bare .tflite.
    """

    path: Path
    data: bytes = field(repr=False)
    sha256: str
    labels: tuple[str, ...] = field(repr=False)
    manifest: dict[str, Any] | None = field(repr=False)


def open_model(path: Path | str) -> ModelFile:
    """Read and verify a model.

    Raises:
        EdgenetError: the file is missing, unreadable or not a model, or it is a bundle with a missing or
            changed member or a newer schema.
    """
    path = Path(path)
    data = _read(path)
    if data[4:8] == b"TFL3":
        check_tflite(data, str(path))
        return ModelFile(path, data, hashlib.sha256(data).hexdigest(), _appended_labels(data, path), None)
    if data.startswith(b"PK"):
        return _open_bundle(path, data)
    raise EdgenetError(
        f"{path} is neither a .tflite nor a bundle ({len(data)} bytes, no TFL3 identifier)", "copy it again"
    )


def parse_labels(text: bytes, name: str) -> tuple[str, ...]:
    """Return the labels of a labels.txt: UTF-8, one per line; line ends after the last label are ignored.

    Raises:
        EdgenetError: the text is not UTF-8.
    """
    try:
        return (
            tuple(line.strip() for line in text.decode("utf-8-sig").rstrip("\r\n").split("\n"))
            if text
            else ()
        )
    except UnicodeDecodeError as error:
        raise EdgenetError(
            f"the labels of {name} are not UTF-8 (byte {error.start})", "save them as UTF-8"
        ) from error


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise EdgenetError(f"{path} is a folder, not a model", "give the .tflite or .edgenet file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise EdgenetError(f"the model {path} does not exist", "check the path") from None
    except OSError as error:
        raise EdgenetError(
            f"cannot read the model {path}: {error.strerror}", "check its permissions"
        ) from error
    if not data:
        raise EdgenetError(f"the model {path} is empty (0 bytes)", "copy it again")
    return data


def _appended_labels(data: bytes, path: Path) -> tuple[str, ...]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return ()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return parse_labels(_text(archive, "labels.txt", path), str(path))
    except KeyError:
        return ()
    except _ZIP_FAULTS as error:
        raise EdgenetError(
            f"the labels appended to {path} are damaged ({error})", "copy the file again"
        ) from error


def _open_bundle(path: Path, data: bytes) -> ModelFile:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            manifest = _manifest(archive, path)
            model = _member(archive, manifest, "model.tflite", path)
            labels = _member(archive, manifest, "labels.txt", path)
    except _ZIP_FAULTS as error:
        raise EdgenetError(f"the bundle {path} is damaged ({error})", "copy it again") from error
    if model[4:8] != b"TFL3":
        raise EdgenetError(f"model.tflite in {path} has no TFL3 identifier", "package the model again")
    check_tflite(model, f"model.tflite in {path}")
    digest = hashlib.sha256(model).hexdigest()
    return ModelFile(path, model, digest, parse_labels(labels, str(path)), manifest)


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_text(archive, "manifest.json", path))
    except KeyError:
        raise EdgenetError(
            f"{path} is a zip without manifest.json, not a bundle", "give a .edgenet file"
        ) from None
    # RecursionError: deeply nested brackets.
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EdgenetError(
            f"manifest.json in {path} is not JSON ({error})", "copy the bundle again"
        ) from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if not isinstance(version, int) or not isinstance(manifest.get("members"), dict):
        raise EdgenetError(
            f"manifest.json in {path} lacks schema_version or members", "package the model again"
        )
    if version > SCHEMA_VERSION:
        raise EdgenetError(
            f"{path} has schema version {version}, these scripts support up to {SCHEMA_VERSION}",
            "copy the device scripts of the newer edgenet",
        )
    return manifest


def _text(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """Return a member of at most _LARGEST bytes, for one whose size no manifest states.

    Raises:
        KeyError: the archive has no such member.
        EdgenetError: the member is larger.
    """
    info = archive.getinfo(name)
    if info.file_size > _LARGEST:
        raise EdgenetError(
            f"{name} in {path} unpacks to {info.file_size} bytes, these scripts read up to {_LARGEST}",
            "copy the file again",
        )
    return archive.read(info)


def _member(archive: zipfile.ZipFile, manifest: dict[str, Any], name: str, path: Path) -> bytes:
    stated = manifest["members"].get(name)
    if not isinstance(stated, dict) or not {"sha256", "size"} <= stated.keys():
        raise EdgenetError(
            f"manifest.json in {path} states no SHA-256 and size for {name}", "package it again"
        )
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise EdgenetError(f"{name} is missing from {path}", "copy the bundle again") from None
    # The size is checked first, so that a member that claims to be huge is refused before it is unpacked.
    if info.file_size != stated["size"]:
        raise EdgenetError(
            f"{name} in {path} has {info.file_size} bytes, its manifest states {stated['size']}",
            "copy the bundle again",
        )
    content = archive.read(info)
    if hashlib.sha256(content).hexdigest() != stated["sha256"]:
        raise EdgenetError(
            f"{name} in {path} has another SHA-256 than its manifest states", "copy the bundle again"
        )
    return content


# ==== device_scripts.flatbuffer_check
# Checks that a .tflite's flatbuffer is sound, because tflite-runtime 2.14 crashes silently on a damaged
# one.
#
# Every offset that the runtime follows to build the graph must stay inside the file: the offsets to the
# tables,
# vectors and strings of the model, its subgraphs, tensors, operators and buffers. Sources: the FlatBuffers
# internals page for the layout (a table starts with a signed offset back to its vtable; fields hold
# unsigned
# offsets forward), and TFLite's schema.fbs for the field numbers.

# What a field holds. An int means a string or vector with that many bytes per element; a dict means one
# table; a tuple of one dict means a vector of tables. The keys of a dict are the schema's field numbers.
Field = Union[int, "Table", tuple["Table"]]
Table = dict[int, Field]
_BYTES: Table = {}
_QUANTIZATION: Table = {0: 4, 1: 4, 2: 4, 3: 8}
_TENSOR: Table = {0: 4, 3: 1, 4: _QUANTIZATION, 7: 4}
_OPERATOR: Table = {1: 4, 2: 4, 4: _BYTES, 5: 1, 8: 4}
_SUBGRAPH: Table = {0: (_TENSOR,), 1: 4, 2: 4, 3: (_OPERATOR,), 4: 1}
_MODEL: Table = {1: ({1: 1},), 2: (_SUBGRAPH,), 3: 1, 4: ({0: 1},), 5: 4, 6: ({0: 1},)}


def check_tflite(data: bytes, name: str) -> None:
    """Refuse a flatbuffer with an offset that points outside the file.

    Args:
        name: what error messages call the file.

    Raises:
        EdgenetError: the flatbuffer is damaged or cut short.
    """
    try:
        _table(data, _forward(data, 0), _MODEL)
    except (struct.error, RecursionError):
        raise EdgenetError(
            f"the tables of {name} point outside its {len(data)} bytes: it is damaged or cut short",
            "copy it again",
        ) from None


def _forward(data: bytes, at: int) -> int:
    return at + struct.unpack_from("<I", data, at)[0]


def _table(data: bytes, at: int, fields: Table) -> None:
    vtable = at - struct.unpack_from("<i", data, at)[0]
    if vtable < 0:
        raise struct.error(f"a table at {at} points before the file")
    vtable_bytes, table_bytes = struct.unpack_from("<HH", data, vtable)
    if vtable_bytes < 4 or vtable + vtable_bytes > len(data) or at + table_bytes > len(data):
        raise struct.error(f"the table at {at} reaches past the end")
    for number, holds in fields.items():
        slot = 4 + 2 * number
        if slot + 2 > vtable_bytes:
            continue
        place = struct.unpack_from("<H", data, vtable + slot)[0]
        if place:
            _field(data, at + place, holds)


def _field(data: bytes, at: int, holds: Field) -> None:
    target = _forward(data, at)
    if isinstance(holds, dict):
        _table(data, target, holds)
        return
    width = 4 if isinstance(holds, tuple) else holds
    count = struct.unpack_from("<I", data, target)[0]
    if target + 4 + count * width > len(data):
        raise struct.error(f"a list of {count} at {target} reaches past the end")
    if isinstance(holds, tuple):
        for index in range(count):
            element = target + 4 + 4 * index
            _table(data, _forward(data, element), holds[0])
