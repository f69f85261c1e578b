"""What a file is, by its content: the kinds that people mistake for a model."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from edgenet_device.errors import EdgenetError
from edgenet_device.file_kind import file_kind
from edgenet_device.model_file import open_model


def zip_with(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 300)
    return data.getvalue()


def tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.tflite"))
    return data.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
KINDS = {
    "empty": b"",
    "web-page": b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>",
    "pointer": POINTER,
    "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "json": b'{"message": "not found"}',
    "tfjs": b'{"format": "layers-model", "modelTopology": {}, "weightsManifest": []}',
    "text": b"cat\ndog\n",
    "gzip": gzip.compress(b"x"),
    "tar": tar(),
    "picture": b"\x89PNG\r\n\x1a\n",
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "bundle": zip_with("manifest.json", "model.tflite", "labels.txt", "CARD.md"),
    "torch": zip_with("archive/data.pkl", "archive/data/0"),
    "torchscript": zip_with("net/data.pkl", "net/constants.pkl", "net/code/net.py"),
    "torch-export": zip_with("net/archive_format", "net/models/model.json"),
    "keras": zip_with("metadata.json", "config.json", "model.weights.h5"),
    "npz": zip_with("weights.npy", "biases.npy"),
    "zip": zip_with("photos/a.jpg"),
    "cut-zip": zip_with("archive/data.pkl")[:200],
    "pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.",
    "tflite": b"\x1c\x00\x00\x00TFL3" + bytes(100),
    "safetensors": (40).to_bytes(8, "little") + b'{"a": {"dtype": "F32"}}',
    "saved-model": b"\x08\x01\x12\xd6\xb81\n\xd9\x1a\x12\xa9\x1a",
    "frozen-graph": b"\n:\n\x01x\x12\x0bPlaceholder*\x0b\n\x05dtype",
    "onnx": b"\x08\x08\x12\x07pytorch\x1a\x06",
    "unknown": b"no model at all",
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(KINDS[name])
    assert file_kind(path).name == name
    with pytest.raises(EdgenetError) as error:
        open_model(path)
    assert str(path) in error.value.found
    assert error.value.remedy
    assert "\n" not in str(error.value)


def test_the_message_names_the_kind_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    for name, said in (
        (
            "torch",
            "is a checkpoint of PyTorch, not a .tflite or a bundle; make a .tflite of it with `edgenet convert`",
        ),
        (
            "pointer",
            "is a Git LFS pointer instead of the file itself, not a .tflite or a bundle; run `git lfs pull`",
        ),
        (
            "web-page",
            "is a web page saved under this name, not a .tflite or a bundle; download the file itself",
        ),
    ):
        path.write_bytes(KINDS[name])
        with pytest.raises(EdgenetError) as error:
            open_model(path)
        assert said in str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="No such file"):
        file_kind(tmp_path / "absent")
