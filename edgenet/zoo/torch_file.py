"""Reads what torch.save wrote, without unpickling it: tensors and plain data, whatever else is in the file.

A pickle is a program that may import and call anything. Here its instructions are only followed: the names of Python's
classes and functions are noted and never imported, calls are noted and never made. The calls with which torch rebuilds
a tensor are understood, so that the tensors can be read from their storages. Files of TorchScript and of torch.export
hold their tensors in the same way or plainer, beside code that is not looked at.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from edgenet_device.foreign_text import read_json
from torch import Tensor

from edgenet.errors import EdgenetError, one_line
from edgenet.files import UNREADABLE_ZIP, check_unpacked_size, read_limited
from edgenet.zoo.pickle_steps import Call, Name, PickleError, Storage, StoredTensor, follow

MOST_BYTES = 2 << 30
REMEDY = "save the network's tensors with torch.save(network.state_dict(), 'network.pth') and give that file"


@dataclass(frozen=True)
class TorchFile:
    """What a file of torch holds.

    Attributes:
        path: the file.
        content: plain data (dict, list, str, numbers) with a `StoredTensor` for each tensor and a `Call` for each
            object of another class.
        storages: returns the bytes of a storage.
    """

    path: Path
    content: Any
    storages: Callable[[Storage], bytes] = field(repr=False)

    def tensor(self, stored: StoredTensor) -> Tensor:
        """Return the numbers of a tensor.

        Raises:
            EdgenetError: its numbers are not in the file, or are of an unusual type.
        """
        dtype = DTYPES.get(stored.dtype)
        if dtype is None:
            raise EdgenetError(
                f"{self.path} has a tensor of the type {one_line(stored.dtype)}",
                "save the network in float32",
            )
        try:
            data, size = self.storages(stored.storage), dtype.itemsize
        except (*UNREADABLE_ZIP, KeyError) as error:
            raise _damaged(self.path, error) from error
        last = stored.offset + sum(
            (n - 1) * step for n, step in zip(stored.shape, stored.strides, strict=True)
        )
        count = math.prod(stored.shape)
        if count == 0:
            return torch.zeros(stored.shape, dtype=dtype)
        numbers = (stored.offset, *stored.shape, *stored.strides)
        if min(numbers) < 0 or (last + 1) * size > len(data) or count * size > len(data):
            raise EdgenetError(
                f"{self.path} does not hold all numbers of its tensors", "save or download it again"
            )
        whole = torch.frombuffer(bytearray(data[: len(data) // size * size]), dtype=dtype)
        return whole.as_strided(stored.shape, stored.strides, stored.offset).clone()


DTYPES = {
    **{"FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16},
    **{"BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32},
    **{"ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8},
    "BoolStorage": torch.bool,
    **{
        "float32": torch.float32,
        "float64": torch.float64,
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
    },
    **{"int64": torch.int64, "int32": torch.int32, "uint8": torch.uint8, "bool": torch.bool},
}
"""Types by the names of torch's classes of storages, and by torch's own names."""


def open_torch_file(path: Path) -> TorchFile:
    """Read a file of torch.save, TorchScript or torch.export.

    Raises:
        EdgenetError: the file is missing, too large or damaged, or is none of these.
    """
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "check the path")
    try:
        if zipfile.is_zipfile(path):
            return _open_zip(path)
        return _open_legacy(path)
    except PickleError as error:
        raise EdgenetError(
            f"{path} is not a file of weights of PyTorch ({one_line(str(error))})", REMEDY
        ) from error
    except (*UNREADABLE_ZIP, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> EdgenetError:
    reason = one_line(str(error)) or type(error).__name__
    return EdgenetError(f"{path} is damaged ({reason})", "save or download it again")


def _open_zip(path: Path) -> TorchFile:
    archive = zipfile.ZipFile(io.BytesIO(read_limited(path, MOST_BYTES)))
    check_unpacked_size(archive, path.stat().st_size, str(path))
    names = set(archive.namelist())
    root = next((n.removesuffix("archive_format") for n in names if n.endswith("/archive_format")), None)
    if root is not None:
        return _open_exported(path, archive, root)
    found = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if not found:
        raise PickleError("it has no data.pkl")
    root = min(found, key=len).removesuffix("data.pkl")
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
    if order.strip() != b"little":
        raise PickleError("its numbers are big-endian")
    content, _ = follow(archive.read(f"{root}data.pkl"))
    return TorchFile(path, content, lambda storage: archive.read(f"{root}data/{storage.key}"))


def _open_exported(path: Path, archive: zipfile.ZipFile, root: str) -> TorchFile:
    """Open a program of torch.export, whose weights are described in JSON."""
    described = read_json(archive.read(f"{root}data/weights/model_weights_config.json"))
    content = {}
    for name, entry in described["config"].items():
        meta = entry["tensor_meta"]
        if entry["use_pickle"] or meta["dtype"] != _EXPORTED_FLOAT32:
            continue
        shape = tuple(int(n["as_int"]) for n in meta["sizes"])
        strides = tuple(int(n["as_int"]) for n in meta["strides"])
        storage = Storage(str(entry["path_name"]), "FloatStorage")
        content[str(name)] = StoredTensor(
            storage, int(meta["storage_offset"]["as_int"]), shape, strides, "float32"
        )
    return TorchFile(path, content, lambda storage: archive.read(f"{root}data/weights/{storage.key}"))


_EXPORTED_FLOAT32 = 7
"""torch._export.serde.schema.ScalarType.FLOAT"""


def _open_legacy(path: Path) -> TorchFile:
    """Open a file as torch wrote it before version 1.6: several pickles, and then the storages."""
    data = read_limited(path, MOST_BYTES)
    magic, place = follow(data)
    if magic != _LEGACY_MAGIC:
        raise PickleError("it is a pickle of something else")
    _, place = follow(data, place)  # the version of the format
    _, place = follow(data, place)  # the sizes of C's types
    content, place = follow(data, place)
    keys, place = follow(data, place)
    kinds = {storage.key: storage.kind for storage in _storages_of(content)}
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        size = DTYPES[kinds[key]].itemsize if key in kinds else 1
        count = int.from_bytes(data[place : place + 8], "little")
        places[key] = (place + 8, place + 8 + count * size)
        place += 8 + count * size
    return TorchFile(path, content, lambda storage: data[slice(*places[storage.key])])


_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def _storages_of(content: Any) -> list[Storage]:
    """Return the storages of all tensors in the content."""
    found, seen, waiting = [], set(), [content]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, StoredTensor):
            found.append(value.storage)
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif isinstance(value, Call):
            waiting += [value.arguments, value.state, value.items]
        elif isinstance(value, Storage):
            found.append(value)
    return found


def class_of(call: Call) -> str:
    """Return the full name of the class whose object a `Call` stands for."""
    made = call.made_by
    return one_line(f"{made.module}.{made.name}", 100) if isinstance(made, Name) else "an object"
