"""Opens a float network as ONNX, for converters that start from ONNX, unlike edgenet's own.

It is a module of its own because importing onnx takes 20 MB of memory, which other conversions do without.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import version_converter

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Shape
from edgenet.graph.onnx_reader import export_onnx
from edgenet.onnx_tf import NAME, OPSET, OnnxNetwork
from edgenet.workflows.module_source import evaluating, module_normalization
from edgenet.workflows.source_options import SourceOptions, parse_normalization
from edgenet.zoo.readers import load_network


def open_onnx_network(source: str | Path | torch.nn.Module, options: SourceOptions) -> OnnxNetwork:
    """Return the network that `open_source` opens with the same arguments, as ONNX.

    Raises:
        EdgenetError: the source is a .tflite, which edgenet cannot turn into ONNX, or its opset is too new.
    """
    if isinstance(source, torch.nn.Module):
        assert options.resolution is not None  # without it `open_source` has already raised an error
        with evaluating(source):
            model = export_onnx(source, (options.resolution, options.resolution), OPSET)
        return OnnxNetwork(model, module_normalization(source, options))
    source = str(source)
    if source.lower().endswith(".tflite"):
        raise EdgenetError(
            f"{source} cannot go through {NAME}, which starts from ONNX",
            "give a variant, a checkpoint or an .onnx, or leave out --backend",
        )
    if source.lower().endswith(".onnx"):
        assert options.normalization is not None  # without it `open_source` has already raised an error
        model = onnx.load(str(Path(source)))
        if options.input_shape is not None:
            _fix_shape(model, options.input_shape)
        _drop_softmax(model)
        return OnnxNetwork(_older(model, source), parse_normalization(options.normalization))
    network = load_network(source, options.resolution)
    side = network.variant.resolution
    return OnnxNetwork(export_onnx(network.module, (side, side), OPSET), network.normalization)


def _older(model: onnx.ModelProto, source: str) -> onnx.ModelProto:
    """Return the model, converted to opset OPSET if its own is newer."""
    opset = max(entry.version for entry in model.opset_import if not entry.domain)
    if opset <= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:  # the version converter is C++ and raises many kinds of errors
        found = f"{source} has opset {opset}, {NAME} knows up to {OPSET}, and ONNX cannot convert it to that"
        raise EdgenetError(found, f"export it with opset_version={OPSET}") from error


def _fix_shape(model: onnx.ModelProto, shape: Shape) -> None:
    given = model.graph.input[0].type.tensor_type.shape.dim
    for dimension, size in zip(given, shape, strict=True):
        dimension.ClearField("dim_param")
        dimension.dim_value = size


def _drop_softmax(model: onnx.ModelProto) -> None:
    """Remove a final softmax, so that the output is logits: edgenet adds its own float softmax later."""
    output, last = model.graph.output[0], model.graph.node[-1]
    if last.op_type == "Softmax" and last.output[0] == output.name:
        output.name = last.input[0]
        model.graph.node.pop()
