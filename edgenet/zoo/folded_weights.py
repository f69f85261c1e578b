"""Reads the float .tflite files that TF-slim and Google publish beside their checkpoints, alone or within a .tgz.

In them batch normalization is folded into the convolutions. Each becomes a convolution and a batch normalization that
only adds the bias; `training/starting.py` gives it the statistics that a training needs.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import edgenet_device.classifier
import numpy as np
import torch
from edgenet_device.model_file import open_model
from edgenet_device.normalization import normalization_named, stated_normalization
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import read_limited
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import Classifier, Normalization
from edgenet.zoo.ordered_layers import FinishedFile, OrderedLayer, network_of, ordered_tensors

MOST_BYTES = 1 << 28
"""No such file is larger; a damaged archive may claim more."""
_REMEDY = "give the float .tflite that its maker published, or the archive with it"
_DEPTHWISE, _FULL, _MATRIX = 4, 3, 9  # DEPTHWISE_CONV_2D, CONV_2D, FULLY_CONNECTED in the schema
FLOAT32 = 0
TYPES = {1: "float16", 3: "uint8", 9: "int8"}


def read_folded(path: Path, expected: Mapping[str, Tensor], epsilon: float) -> dict[str, Tensor]:
    """Return the tensors of a network from a float .tflite, or from a .tgz with one.

    Weights of 1,001 classes lose the first, "background", if the network has 1,000.

    Args:
        path: the file.
        expected: our network's tensors, whose names and shapes the result has; their values are not used.
        epsilon: the epsilon of the network's batch normalization.

    Raises:
        EdgenetError: the file is neither, or holds another network.
    """
    data = _tflite_of(path)
    found = _layers_of(data, path)
    outputs = len(expected["classifier.bias"])
    if found and len(found[-1].bias) == outputs + 1:
        found[-1] = replace(found[-1], weights=found[-1].weights[1:], bias=found[-1].bias[1:])
    tensors = ordered_tensors(found, expected, epsilon)
    if tensors is None:
        layers = sum(name.endswith(".weight") and tensor.ndim > 1 for name, tensor in expected.items())
        raise EdgenetError(f"{path} has {len(found)} convolutions, but the network has {layers}", _REMEDY)
    return tensors


def load_tflite(path: Path) -> LoadedNetwork:
    """Return the network of ours that a float .tflite of any maker holds, in evaluation mode.

    Where the file does not say its normalization, -1..1 is assumed, as TensorFlow's mobile networks have it.

    Raises:
        EdgenetError: the file is damaged, is no float classifier, or holds no network that we know.
    """
    file = open_model(path)
    found = stated_normalization(file.data)
    stated, assumed = found or normalization_named("-1..1"), () if found else (NOT_STATED,)
    layers = _layers_of(file.data, path)
    runs = edgenet_device.classifier.Classifier(file, 1, normalization=stated)
    normalization = Normalization(_three(stated.mean), _three(stated.std))
    size = runs.height, runs.width
    return network_of(
        FinishedFile(path, layers, size, normalization, runs.score_prepared, file.labels, assumed)
    )


NOT_STATED = (
    "the file does not say how its photos were prepared in training: the normalization -1..1 is assumed"
)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values if len(values) == 3 else (values[0],) * 3
    return red, green, blue


def check_results(path: Path, module: Classifier, resolution: int) -> None:
    """Check on one input that a network computes the scores that the file itself computes in LiteRT.

    The order and the shapes of the weights are all that `read_folded` goes by, and a converter may also have folded an
    activation's constants into them.

    Args:
        path: the file that the network's weights come from.
        module: the network, in evaluation mode.
        resolution: the side of the file's input, pixels.

    Raises:
        EdgenetError: the scores differ.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=_tflite_of(path), num_threads=1)
    interpreter.allocate_tensors()
    pixels = np.random.RandomState(0).uniform(-1, 1, (1, resolution, resolution, 3)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    theirs = torch.from_numpy(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).flatten())
    with torch.no_grad():
        ours = module(torch.from_numpy(pixels).permute(0, 3, 1, 2))[0].softmax(0)
    theirs = theirs[-len(ours) :]  # without "background"
    theirs = theirs / theirs.sum() if bool((theirs >= 0).all()) else theirs.softmax(0)
    if float((ours - theirs).abs().max()) > 1e-3 * float(theirs.max()):
        raise EdgenetError(f"{path} computes other scores than a network with its weights", _REMEDY)


def _tflite_of(path: Path) -> bytes:
    """Return the bytes of the float .tflite that a file is or contains."""
    if not path.name.endswith((".tgz", ".tar.gz")):
        return read_limited(path, MOST_BYTES)
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name.endswith(".tflite") and not _is_quantized(name):
                    file = archive.extractfile(member)
                    if file is not None and member.size <= MOST_BYTES:
                        return file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise EdgenetError(f"{path} cannot be unpacked ({error})", "delete it, and fetch it again") from error
    raise EdgenetError(f"{path} contains no float .tflite", _REMEDY)


def _is_quantized(name: str) -> bool:
    return "int8" in name or "quant" in name


def _layers_of(data: bytes, path: Path) -> list[OrderedLayer]:
    """Return the convolutions and fully connected layers of a .tflite as they run."""
    try:
        return list(_layers(data))
    except _QuantizedError as error:
        raise EdgenetError(f"{path} has weights of the type {error}, not float32", _REMEDY) from error
    except Exception as error:  # the schema's code raises anything for damaged files
        raise EdgenetError(
            f"{path} is not a complete .tflite ({type(error).__name__}: {error})", _REMEDY
        ) from error


class _QuantizedError(Exception):
    """Weights are not float32; the text is their type."""


def _layers(data: bytes) -> Iterator[OrderedLayer]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    # Files from before 2020 have the code in one byte, later ones in both places or only in the new one.
    kinds = [max(code.DeprecatedBuiltinCode(), code.BuiltinCode()) for code in codes]
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        kind = kinds[operator.OpcodeIndex()]
        if kind in (_DEPTHWISE, _FULL, _MATRIX):
            weights = _constant(model, graph, operator.Inputs(1))
            # [output, height, width, input], and for depthwise convolutions [1, height, width, channel].
            order = {_DEPTHWISE: (3, 0, 1, 2), _FULL: (0, 3, 1, 2), _MATRIX: (0, 1)}[kind]
            bias = _constant(model, graph, operator.Inputs(2))
            clipped = kind == _FULL and _has_relu6(operator)
            yield OrderedLayer(weights.permute(order).contiguous(), bias, clipped)


def _has_relu6(convolution: Any) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    table = convolution.BuiltinOptions()
    if table is None:
        return False
    options = schema.Conv2DOptions()
    options.Init(table.Bytes, table.Pos)
    return options.FusedActivationFunction() == schema.ActivationFunctionType.RELU6


def _constant(model: Any, graph: Any, index: int) -> Tensor:
    tensor = graph.Tensors(index)
    if tensor.Type() != FLOAT32:
        raise _QuantizedError(TYPES.get(tensor.Type(), "of another kind"))
    values = np.frombuffer(model.Buffers(tensor.Buffer()).DataAsNumpy(), np.float32)
    return torch.from_numpy(values.reshape(tensor.ShapeAsNumpy()).copy())
