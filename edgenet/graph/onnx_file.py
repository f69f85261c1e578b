"""The file of an ONNX model: loaded with the files that hold its weights, checked, or exported from a torch module."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from edgenet_device.foreign_text import is_number, one_line
from google.protobuf.message import Message
from onnx import ModelProto, TensorProto, external_data_helper

from edgenet.errors import EdgenetError


def load_onnx(path: Path) -> ModelProto:
    """Return the model of an .onnx file, with its external data loaded.

    Raises:
        EdgenetError: the file is missing or not ONNX, or a file with its weights is missing, too short, or outside
            the .onnx file's own folder.
    """
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "give the path of an .onnx file")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf and onnx raise many types for a damaged file
        raise EdgenetError(
            f"{path} is not a readable ONNX file ({first_line(error)})", "export or download it again"
        ) from None
    _check_texts(model, path)
    _check_external_data(model, path)
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # the helper raises many types for a path or a length that is not usable
        raise EdgenetError(
            f"the weights of {path} cannot be read ({first_line(error)})", "export or download it again"
        ) from None
    return model


def takes_bytes(path: Path) -> bool:
    """Return whether the readable .onnx file takes uint8 pixels, so that it normalizes them itself."""
    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    return bool(inputs) and inputs[0].type.tensor_type.elem_type == TensorProto.UINT8


def _check_texts(message: Message, path: Path) -> None:
    """Raise EdgenetError if a name is not UTF-8: protobuf then gives bytes, where all that follows expects text."""
    for field, value in message.ListFields():
        values = [value] if isinstance(value, (str, bytes, Message)) else value
        if field.message_type is not None:
            for one in values:
                _check_texts(one, path)
        elif field.type == field.TYPE_STRING and any(isinstance(one, bytes) for one in values):
            raise EdgenetError(
                f"{path} has a {field.name} that is not UTF-8: it is damaged", "export it again"
            )


def _check_external_data(model: ModelProto, path: Path) -> None:
    """Raise EdgenetError if a file with weights is not beside the .onnx file, or ends too early."""
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = entries.get("location", "")
        file = path.parent / name
        if not name or not os.path.isfile(file):  # unlike Path.is_file, it takes names of any length
            shown = one_line(name)
            raise EdgenetError(
                f"{path} keeps its weights in another file, '{shown}', which is not beside it",
                f"put {shown} into the same folder, or export with the weights inside the .onnx file",
            )
        length = sum(int(entries[key]) for key in ("offset", "length") if is_number(entries.get(key, "")))
        if length > file.stat().st_size:
            raise EdgenetError(
                f"{file} has {file.stat().st_size:,} bytes, and {path} reads it up to {length:,}",
                "copy both files again",
            )


def first_line(error: Exception) -> str:
    """Return the first line of an error of somebody else's code, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


EXPORT_OPSET = 17
"""The ONNX opset that current converters accept."""


def export_onnx(module: torch.nn.Module, size: tuple[int, int], opset: int) -> onnx.ModelProto:
    """Export a classifier to ONNX with an input named "image".

    This uses torch's TorchScript-based exporter: on a MobileNet it takes 1 s and needs no further package,
    while the exporter based on `torch.export` takes 8 s and needs onnxscript (measured with torch 2.13).

    Args:
        module: the network in evaluation mode; takes normalized RGB [1, 3, H, W] and returns logits [1, N].
        size: height and width of the picture, pixels.
        opset: version of ONNX's operator set.
    """
    buffer: Any = io.BytesIO()  # Any: this exporter accepts BytesIO, but torch's annotations do not list it
    example = torch.zeros(1, 3, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns that it is deprecated
        torch.onnx.export(
            module, (example,), buffer, dynamo=False, opset_version=opset, input_names=["image"]
        )
    return onnx.load_from_string(buffer.getvalue())
