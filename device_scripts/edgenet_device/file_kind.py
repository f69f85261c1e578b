"""Tells what kind of file something is by its content, so that a wrong file is called by its name.

A download can be a web page, a Git LFS pointer, or cut short; and a checkpoint of PyTorch is a zip like a bundle is.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.errors import EdgenetError


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
        name: a short name for programs, such as "tflite"; "unknown" for a file of no known kind.
        words: the kind as a message says it, such as "a checkpoint of PyTorch".
        remedy: what to do if another kind was expected; empty where that depends on what was expected.
    """

    name: str
    words: str
    remedy: str = ""


_AGAIN = "download the file again"
_UNPACK = "unpack it, and give the model in it"
UNKNOWN = FileKind("unknown", "a file of an unknown kind")
EMPTY = FileKind("empty", "an empty file (0 bytes)", _AGAIN)
TFLITE = FileKind("tflite", "a .tflite")
BUNDLE = FileKind("bundle", "a bundle of edgenet")
ONNX = FileKind("onnx", "an .onnx")
SAFETENSORS = FileKind("safetensors", "a .safetensors checkpoint")
TORCH = FileKind("torch", "a checkpoint of PyTorch")
TORCHSCRIPT = FileKind("torchscript", "a TorchScript file of PyTorch")
TORCH_EXPORT = FileKind("torch-export", "a program saved by torch.export")
NPZ = FileKind("npz", "an .npz of arrays")
KERAS = FileKind("keras", "a .keras model")
HDF5 = FileKind("hdf5", "an HDF5 file, as Keras' .h5 is")
TFJS = FileKind("tfjs", "a model.json of TensorFlow.js")
SAVED_MODEL = FileKind("saved-model", "a SavedModel of TensorFlow")
FROZEN_GRAPH = FileKind("frozen-graph", "a frozen graph of TensorFlow (.pb)")
PICKLE = FileKind(
    "pickle", "a Python pickle", "edgenet never unpickles one; save named tensors with torch.save"
)
CUT_ZIP = FileKind("cut-zip", "the beginning of a zip whose end is missing", _AGAIN)
ZIP = FileKind("zip", "a zip with other contents", _UNPACK)
WEB_PAGE = FileKind(
    "web-page", "a web page saved under this name", "download the file itself, not the page about it"
)
POINTER = FileKind(
    "pointer",
    "a Git LFS pointer instead of the file itself",
    "run `git lfs pull`, or download the file itself",
)
JSON = FileKind("json", "a JSON text")
PICTURE = FileKind("picture", "a picture")
TEXT = FileKind("text", "a text")

# What files begin with.
_STARTS = (
    (b"\x89HDF\r\n\x1a\n", HDF5),
    (b"version https://git-lfs", POINTER),
    (b"/annex/objects/", POINTER),
    (b"\x1f\x8b", FileKind("gzip", "a gzip archive", f"{_UNPACK} (tar -xzf, or gunzip)")),
    (b"\xfd7zXZ\x00", FileKind("xz", "an xz archive", f"{_UNPACK} (tar -xJf, or unxz)")),
    (b"BZh", FileKind("bzip2", "a bzip2 archive", f"{_UNPACK} (tar -xjf, or bunzip2)")),
    (b"\x28\xb5\x2f\xfd", FileKind("zstd", "a zstd archive", f"{_UNPACK} (unzstd)")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("7z", "a 7z archive", _UNPACK)),
    (b"Rar!", FileKind("rar", "a rar archive", _UNPACK)),
    (b"\xff\xd8\xff", PICTURE),
    (b"\x89PNG", PICTURE),
    (b"RIFF", PICTURE),
    (b"\x93NUMPY", FileKind("npy", "a single array of numpy (.npy)")),
    (b"%PDF", FileKind("pdf", "a PDF")),
    (b"\x7fELF", FileKind("program", "a program")),
)
_TAR = FileKind("tar", "a tar archive", f"{_UNPACK} (tar -xf)")
_XML = FileKind("xml", "an XML text, which servers also send as an error", _AGAIN)
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_MOST = 1 << 16
"""Bytes of a file's beginning that are looked at."""


def file_kind(path: Path) -> FileKind:
    """Return the kind of a file by its content; nothing of it is unpacked or run.

    Raises:
        EdgenetError: the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_MOST)
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check the path") from None
    if not start:
        return EMPTY
    if start.startswith(b"PK"):
        return _zip_kind(path, start)
    for beginning, kind in _STARTS:
        if start.startswith(beginning):
            return kind
    if start[257:262] == b"ustar":
        return _TAR
    return _model_kind(start) or _text_kind(start) or UNKNOWN


def _model_kind(start: bytes) -> FileKind | None:
    """Return the kind of a model that begins with no fixed bytes."""
    if start[4:8] == b"TFL3":
        return TFLITE
    if start.startswith(_LEGACY_TORCH):
        return TORCH
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 27:
        return SAFETENSORS
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return PICKLE
    # Protocol buffers: a field's number and type, then its value. Their first fields differ.
    if re.match(rb"\x08\x01\x12.{1,5}[\x0a\x12]", start, re.DOTALL):
        return SAVED_MODEL
    if re.match(rb"\x08[\x03-\x20][\x12\x1a\x22\x3a\x42]", start):
        return ONNX
    if re.match(rb"\x0a[\x05-\xff][\x01-\x7f]?\x0a[\x01-\x7f][\w./\-]+\x12[\x01-\x40][A-Z]\w+", start):
        return FROZEN_GRAPH
    return None


def _text_kind(start: bytes) -> FileKind | None:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!-- ")):
        return WEB_PAGE
    if text.startswith(b"<?xml"):
        return WEB_PAGE if b"<html" in text[:1000] else _XML
    if text.startswith((b"{", b"[")):
        return TFJS if b'"modeltopology"' in text or b'"weightsmanifest"' in text else JSON
    if re.fullmatch(rb"[\x09\x0a\x0d\x20-\x7e\x80-\xff]+", text) and b"\n" in text[:1000]:
        return TEXT
    return None


def _zip_kind(path: Path, start: bytes) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            first = min((member.header_offset for member in archive.infolist()), default=0)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        if b"data.pkl" in start[:200]:
            return FileKind(
                "cut-zip", "the beginning of a checkpoint of PyTorch whose end is missing", _AGAIN
            )
        return CUT_ZIP
    if first > 0 and start.startswith(b"PK\x03\x04"):
        return CUT_ZIP  # the end is that of a zip inside it, and its own is missing
    inner = {name.partition("/")[2] for name in names}
    if "manifest.json" in names or "model.tflite" in names:
        return BUNDLE
    if "config.json" in names and ("model.weights.h5" in names or "metadata.json" in names):
        return KERAS
    if "constants.pkl" in inner:
        return TORCHSCRIPT
    if "data.pkl" in inner:
        return TORCH
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return TORCH_EXPORT
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    return ZIP


def wrong_kind(path: Path, kind: FileKind, expected: str, remedy: str) -> EdgenetError:
    """Return the error for a file of another kind than is expected.

    Args:
        path: the file.
        kind: its kind.
        expected: what is expected, such as "a .tflite or a bundle".
        remedy: what to do, unless the kind itself says what.
    """
    return EdgenetError(f"{path} is {kind.words}, not {expected}", kind.remedy or remedy)


def not_finished(path: Path, kind: FileKind) -> EdgenetError:
    """Return the error for a file that is no model that runs on a device, such as a checkpoint."""
    remedy = "give the .tflite or .edgenet file"
    return wrong_kind(path, kind, "a .tflite or a bundle", CONVERT if kind.name in FLOAT_NETWORKS else remedy)


CONVERT = "make a .tflite of it with `edgenet convert`, and give that"
FLOAT_NETWORKS = (
    *("onnx", "safetensors", "torch", "torchscript", "torch-export", "npz", "keras", "hdf5", "tfjs"),
    *("saved-model", "frozen-graph"),
)
"""The kinds of files (see `FileKind.name`) that hold networks which are yet to be converted."""
