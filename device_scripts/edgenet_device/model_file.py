"""Opens a model: a `.tflite` file, or a bundle `NAME.edgenet`, whose members are verified before any is used.

The bundle is a zip with manifest.json, model.tflite, labels.txt and CARD.md; `manifest["members"][name]`
holds the SHA-256 and the size of each member. On a device that trusts a key, the bundle must also be signed by it (see
`trust`). A bare `.tflite` carries its labels in a zip appended to it
(TFLite metadata, https://www.tensorflow.org/lite/models/convert/metadata).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.file_kind import BUNDLE, UNKNOWN, file_kind, not_finished
from edgenet_device.flatbuffer import check_tflite, check_values, elements, forward, slot, u32, vector
from edgenet_device.foreign_text import one_line, read_json
from edgenet_device.normalization import PixelNormalization
from edgenet_device.ports import refuse_edge_tpu
from edgenet_device.signature import SIGNATURE_FILE
from edgenet_device.trust import Trust, check_trusted, read_trust, trust_file, unsigned

SCHEMA_VERSION = 1
NOTHING_KNOWN = "nothing I know"
"""What is shown instead of a label for something that the network does not know.

It is also the label of the output that some networks have for such things; see `edgenet.teaching.unknown`.
"""
# Most bytes of unpacked labels or of an unpacked manifest. Without a limit a small file could fill the
# memory: packed zeros take a thousandth of their size.
_LARGEST = 1 << 25
MOST_BYTES = 1 << 30
"""The most bytes of a model's file, far more than any network for a phone or Pi has."""
# A bundle is stored unpacked, so that its members together are hardly larger than the file.
_MOST_UNPACKED = 1 << 28
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
        data: the bytes of the .tflite, repaired where that is needed (see `repair`).
        sha256: the SHA-256 of the .tflite before it was repaired, hexadecimal.
        labels: one label per output, in order; empty when the file carries none.
        manifest: the bundle's manifest, or None for a bare .tflite.
    """

    path: Path
    data: bytes = field(repr=False)
    sha256: str
    labels: tuple[str, ...] = field(repr=False)
    manifest: dict[str, Any] | None = field(repr=False)

    def recorded_normalization(self) -> PixelNormalization | None:
        """Return the normalization that the bundle's manifest records for the input; None if it records none.

        Raises:
            EdgenetError: it is not one.
        """
        source = (self.manifest or {}).get("input")
        if not isinstance(source, dict) or source.get("mean") is None:
            return None
        try:
            return PixelNormalization(*(tuple(float(n) for n in source[key]) for key in ("mean", "std")))
        except (KeyError, TypeError, ValueError):
            raise EdgenetError(
                f"the manifest of {self.path} has a damaged normalization", "package the model again"
            ) from None


def open_model(path: Path | str, trust: Trust | None = None) -> ModelFile:
    """Read and verify a model.

    Args:
        path: path of a bundle (`.edgenet`) or `.tflite` file.
        trust: whose bundles are accepted; None for what this device trusts, which may be everybody.

    Raises:
        EdgenetError: the file is missing, unreadable or not a model; it is a bundle with a missing or changed
            member or a newer schema; or this device trusts a key that has not signed it.
    """
    path = Path(path)
    data = read_file(path)
    trust = trust or read_trust(trust_file())
    if trust is not None:
        check_trusted_file(path, data, trust)
    if data[4:8] == b"TFL3":
        labels = _appended_labels(data, path)
        return ModelFile(path, verified(data, str(path)), hashlib.sha256(data).hexdigest(), labels, None)
    kind = file_kind(path)
    if kind is BUNDLE or (kind.name in ("zip", "cut-zip") and path.suffix == ".edgenet"):
        return _open_bundle(path, data)
    if kind is UNKNOWN:
        raise EdgenetError(
            f"{path} is neither a .tflite nor a bundle ({len(data)} bytes, no TFL3 identifier)",
            "copy it again",
        )
    raise not_finished(path, kind)


def check_trusted_file(path: Path, data: bytes, trust: Trust, older: bool = False) -> int:
    """Check that a model is a bundle signed by the key that this device trusts; return the time of signing.

    Args:
        path: the file's path, for error messages.
        data: the file's bytes.
        trust: what the device trusts.
        older: accept a bundle that is older than the newest one, too.

    Raises:
        EdgenetError: it is not, or it holds two members of one name; the message says why.
    """
    try:
        # A .tflite may begin with PK and end with somebody's signed bundle; it is run as a .tflite.
        if data[4:8] == b"TFL3" or not data.startswith(b"PK"):
            raise unsigned(trust)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):  # which of the two counts must not depend on the reader
                raise EdgenetError("it holds two members of one name", "do not use this file")
            text = _text(archive, "manifest.json", path) if "manifest.json" in names else b""
            signature = _text(archive, SIGNATURE_FILE, path) if SIGNATURE_FILE in names else None
            signed_at = _manifest(archive, path).get("signed_at")
        return check_trusted(trust, text, signed_at, signature, older)
    except _ZIP_FAULTS as error:
        raise EdgenetError(f"the bundle {path} is damaged ({error})", "copy it again") from error
    except EdgenetError as error:
        raise EdgenetError(f"{path}: {error.found.removeprefix(f'{path} ')}", error.remedy) from None


def verified(data: bytes, name: str) -> bytes:
    """Return the bytes of a .tflite, checked and repaired, so that the runtime can be given them.

    Args:
        name: what error messages call the file.

    Raises:
        EdgenetError: the file is damaged or was compiled for an Edge TPU.
    """
    check_tflite(data, name)
    data = repaired(data)
    check_values(data, name)
    refuse_edge_tpu(data, name)
    return data


_NUMBERED = re.compile(r"(\d{1,6})[ \t:,;.]+(\S.*)")


def without_numbers(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels without their own numbers, if every line begins with its own: "0 cat", "1 dog", ...

    Teachable Machine and others write their labels so. Labels of which only some begin with their number are kept.
    """
    matches = [_NUMBERED.fullmatch(label) for label in labels]
    names = [
        match.group(2) for number, match in enumerate(matches) if match and int(match.group(1)) == number
    ]
    return tuple(names if len(names) == len(labels) > 1 else labels)


def parse_labels(text: bytes, name: str) -> tuple[str, ...]:
    """Return the labels of a labels.txt: UTF-8, one per line; line ends after the last label are ignored.

    Lines that begin with their own numbers lose them; see `without_numbers`.

    Raises:
        EdgenetError: the text is not UTF-8.
    """
    try:
        lines = text.decode("utf-8-sig").rstrip("\r\n").split("\n") if text else []
        return without_numbers([line.strip() for line in lines])
    except UnicodeDecodeError as error:
        raise EdgenetError(
            f"the labels of {name} are not UTF-8 (byte {error.start})", "save them as UTF-8"
        ) from error


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the labels of a text file; see `parse_labels`.

    Raises:
        EdgenetError: the file cannot be read, is not UTF-8, or is not a list of names.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise EdgenetError(f"cannot read the labels {path}: {error.strerror}", "check the path") from None
    labels = parse_labels(text, str(path)) if len(text) <= _LARGEST else ()
    if not all(labels) or not labels:
        raise EdgenetError(f"{path} is not a list of labels", "write one name per line, without blank lines")
    return labels


def read_file(path: Path) -> bytes:
    """Return the bytes of a model's file, unchecked.

    Raises:
        EdgenetError: it cannot be read, is not a regular file, is empty, or is larger than MOST_BYTES.
    """
    try:
        if path.is_dir():
            raise EdgenetError(f"{path} is a folder, not a model", "give the .tflite or .edgenet file")
        if path.exists() and not path.is_file():  # a device or a pipe could be read for ever
            raise EdgenetError(f"{path} is not a regular file", "give the .tflite or .edgenet file")
        with path.open("rb") as file:
            # `read` reserves as much memory as it is asked for, so it is asked for the file's size.
            data = file.read(min(os.fstat(file.fileno()).st_size, MOST_BYTES) + 1)
    except FileNotFoundError:
        raise EdgenetError(f"the model {path} does not exist", "check the path") from None
    except OSError as error:
        raise EdgenetError(
            f"cannot read the model {path}: {error.strerror}", "check its permissions"
        ) from error
    if len(data) > MOST_BYTES:
        raise EdgenetError(f"{path} is larger than {MOST_BYTES >> 30} GiB", "give a .tflite or .edgenet file")
    if not data:
        raise EdgenetError(f"the model {path} is empty (0 bytes)", "copy it again")
    return data


# The head of a zip's member, whose name ends in .txt: 26 bytes about its size, two lengths, and the name.
_BEGUN_LABELS = re.compile(rb"PK\x03\x04.{26}[\w. -]{1,80}\.txt", re.DOTALL)


def _appended_labels(data: bytes, path: Path) -> tuple[str, ...]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        if _BEGUN_LABELS.search(data):
            raise EdgenetError(f"{path} is damaged at its end, where its labels are", "copy the file again")
        return ()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return parse_labels(_text(archive, _labels_name(archive), path), str(path))
    except KeyError:
        return ()
    except _ZIP_FAULTS as error:
        raise EdgenetError(
            f"the labels appended to {path} are damaged ({error})", "copy the file again"
        ) from error


def _labels_name(archive: zipfile.ZipFile) -> str:
    """Return the name of the file with the labels: labels.txt, else the only text file, as other makers name theirs."""
    texts = [name for name in archive.namelist() if name.endswith(".txt")]
    return texts[0] if len(texts) == 1 else "labels.txt"


def _open_bundle(path: Path, data: bytes) -> ModelFile:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > max(len(data), _MOST_UNPACKED):
                raise EdgenetError(f"{path} would unpack to {unpacked:,} bytes", "do not use this file")
            manifest = _manifest(archive, path)
            model = _member(archive, manifest, "model.tflite", path)
            labels = _member(archive, manifest, "labels.txt", path)
    except _ZIP_FAULTS as error:
        raise EdgenetError(f"the bundle {path} is damaged ({error})", "copy it again") from error
    if model[4:8] != b"TFL3":
        raise EdgenetError(f"model.tflite in {path} has no TFL3 identifier", "package the model again")
    digest = hashlib.sha256(model).hexdigest()
    model = verified(model, f"model.tflite in {path}")
    return ModelFile(path, model, digest, parse_labels(labels, str(path)), manifest)


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        text = _text(archive, "manifest.json", path)
    except KeyError:
        raise EdgenetError(
            f"{path} is a zip without manifest.json, not a bundle", "give a .edgenet file"
        ) from None
    try:
        manifest = read_json(text)
    except ValueError as error:
        raise EdgenetError(
            f"manifest.json in {path} is not JSON ({one_line(str(error))})", "copy the bundle again"
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


_SUBGRAPHS, _TENSORS, _SHAPE, _QUANTIZATION, _AXIS = 2, 0, 0, 4, 6
"""Field numbers of TFLite's schema.fbs."""


def repaired(data: bytes) -> bytes:
    """Return the file with the axis 0 where a tensor of one axis states another one; else the same bytes.

    TensorFlow's converters of 2019 and 2020 (also that of TFLite Micro's person_detect) wrote the biases of depthwise
    convolutions, which have one axis, with the axis 3 of their weights. Newer runtimes refuse to load such files. A
    tensor with one axis can only be quantized along that one, so nothing changes that the network computes.

    Args:
        data: a .tflite that `check_tflite` has accepted.
    """
    wrong = [
        place
        for graph in elements(data, forward(data, 0), _SUBGRAPHS)
        for tensor in elements(data, graph, _TENSORS)
        if (place := _wrong_axis(data, tensor)) is not None
    ]
    if not wrong:
        return data
    changed = bytearray(data)
    for place in wrong:
        struct.pack_into("<i", changed, place, 0)
    return bytes(changed)


def _wrong_axis(data: bytes, tensor: int) -> int | None:
    """Return the place of the axis along which a tensor of one axis cannot be quantized, or None."""
    shape, quantization = vector(data, tensor, _SHAPE), vector(data, tensor, _QUANTIZATION)
    if shape is None or quantization is None or u32(data, shape) != 1:
        return None
    place = slot(data, quantization, _AXIS)
    return place if place is not None and struct.unpack_from("<i", data, place)[0] > 0 else None
