"""Reading a torch module into the graph, through ONNX in memory."""

from __future__ import annotations

import io
import warnings
from typing import Any

import onnx
import torch

from edgenet.graph.ir import Graph
from edgenet.graph.readers.onnx import read_onnx_model

OPSET = 17


def read_torch(module: torch.nn.Module, size: tuple[int, int], name: str) -> Graph:
    """Reads a classifier that takes normalized RGB [1, 3, H, W] and returns logits [1, N].

    Args:
        module: in evaluation mode.
        size: height and width of the picture.
        name: the graph's name.
    """
    return read_onnx_model(export_onnx(module, size, OPSET), name)


def export_onnx(module: torch.nn.Module, size: tuple[int, int], opset: int) -> onnx.ModelProto:
    """A classifier as ONNX in memory, its input called "image"; arguments as of `read_torch`.

    The TorchScript-based exporter is used: on a MobileNet it takes 1 s and no further package, the one through
    `torch.export` 8 s and onnxscript (measured with torch 2.13).
    """
    buffer: Any = io.BytesIO()  # which this exporter takes, but torch's annotations leave out
    example = torch.zeros(1, 3, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its deprecation
        torch.onnx.export(
            module, (example,), buffer, dynamo=False, opset_version=opset, input_names=["image"]
        )
    return onnx.load_from_string(buffer.getvalue())
