"""A torch network as ONNX in memory, for converters that start from it; edgenet's own reader needs none."""

from __future__ import annotations

import io
import warnings
from typing import Any

import onnx
import torch

OPSET = 17
"""What converters of today take."""


def export_onnx(module: torch.nn.Module, size: tuple[int, int], opset: int) -> onnx.ModelProto:
    """A classifier as ONNX, its input called "image".

    The TorchScript-based exporter is used: on a MobileNet it takes 1 s and no further package, the one through
    `torch.export` 8 s and onnxscript (measured with torch 2.13).

    Args:
        module: in evaluation mode; takes normalized RGB [1, 3, H, W] and returns logits [1, N].
        size: height and width of the picture.
        opset: ONNX's version of its operators.
    """
    buffer: Any = io.BytesIO()  # which this exporter takes, but torch's annotations leave out
    example = torch.zeros(1, 3, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its deprecation
        torch.onnx.export(
            module, (example,), buffer, dynamo=False, opset_version=opset, input_names=["image"]
        )
    return onnx.load_from_string(buffer.getvalue())
