"""Recognizes one of our networks in a finished file (a float .tflite, a Keras model), and reads its weights.

Finished files name their layers as they like, and batch normalization is folded into the convolutions. The number of
layers and the shapes of their weights, in the order in which the layers run, say which network it may be; one photo
says whether it is.

TF-slim and Google publish float .tflite files beside their checkpoints, alone or within a .tgz. Each of their
convolutions becomes a convolution and a batch normalization that only adds the bias; `training/starting.py` gives it
the statistics that a training needs.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import edgenet_device.classifier
import numpy as np
import torch
from edgenet_device.model_file import open_model
from edgenet_device.normalization import normalization_named, stated_normalization
from numpy.typing import NDArray
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import read_limited, sha256
from edgenet.zoo.catalogue import labels_for
from edgenet.zoo.checkpoint import LICENCE_UNKNOWN, LoadedNetwork, load_tensors
from edgenet.zoo.classifier import Classifier, NetworkOptions, Normalization, Padding
from edgenet.zoo.layouts import COUNTER, meta_network, recognize
from edgenet.zoo.registry import ARCHITECTURES, Variant


@dataclass(frozen=True)
class OrderedLayer:
    """A convolution or a fully connected layer, with batch normalization folded in.

    Attributes:
        weights: in torch's order: [output, input, height, width], or [output, input].
        bias: one number for each output.
        clipped: whether ReLU6 follows in the same operator.
    """

    weights: Tensor
    bias: Tensor
    clipped: bool = False


@dataclass(frozen=True)
class FinishedFile:
    """A finished float network of any maker.

    Attributes:
        path: the file.
        layers: its layers with weights, in the order in which they run.
        size: height and width of its picture, pixels.
        normalization: what its pixels go through.
        scores: the probabilities [classes] that the file itself gives for a picture, uint8 RGB [height, width, 3].
        labels: the classes' names; empty if the file does not have them.
        assumed: what the file does not say and its reader assumed.
    """

    path: Path
    layers: Sequence[OrderedLayer]
    size: tuple[int, int]
    normalization: Normalization
    scores: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    labels: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def network_of(file: FinishedFile) -> LoadedNetwork:
    """Return the network of ours that computes what a file computes, with the file's weights.

    Raises:
        EdgenetError: there is none.
    """
    pixels = np.random.RandomState(0).randint(0, 256, (*file.size, 3)).astype(np.uint8)
    theirs = torch.from_numpy(np.asarray(file.scores(pixels), np.float32))
    for variant, tensors, options in _candidates(file):
        module = load_tensors(variant, options, tensors, str(file.path))
        labels = file.labels if len(file.labels) == options.classes else labels_for(options.classes)
        origin = f"{file.path.name}, SHA-256 {sha256(file.path)}"
        loaded = LoadedNetwork(
            module, variant, labels, file.normalization, origin, LICENCE_UNKNOWN, file.assumed
        )
        with torch.no_grad():
            ours = loaded.with_pixels()(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())[0].softmax(0)
        if ours.shape == theirs.shape and float((ours - theirs).abs().max()) <= 1e-3 * float(theirs.max()):
            return loaded
    raise EdgenetError(
        f"{file.path} has {len(file.layers)} layer{'s' * (len(file.layers) != 1)} with weights, and is none of the"
        " networks that edgenet trains",
        "`edgenet convert` takes it as it is; to train, give a checkpoint of edgenet, torchvision or timm",
    )


def _candidates(file: FinishedFile) -> Iterator[tuple[Variant, dict[str, Tensor], NetworkOptions]]:
    """Yield the networks that have as many layers, with weights of the same shapes."""
    height, width = file.size
    for name, architecture in ARCHITECTURES.items():
        if architecture.one_resolution or height != width or height < architecture.smallest:
            continue
        options = NetworkOptions(2, epsilon=1e-3, normalization=file.normalization)
        expected = meta_network(Variant(name, 1.0, architecture.smallest), options).state_dict()
        tensors = ordered_tensors(file.layers, expected, options.epsilon)
        match = recognize(tensors) if tensors is not None else None
        if match is None or tensors is None or match[0].architecture != name:
            continue
        variant, fixed_stem = match
        paddings: tuple[Padding, ...] = ("same", "symmetric")
        for padding in paddings:
            classes = len(tensors["classifier.bias"])
            built = replace(options, classes=classes, padding=padding, fixed_stem=fixed_stem)
            yield Variant(variant.architecture, variant.width, height), tensors, built


def ordered_tensors(
    layers: Sequence[OrderedLayer], expected: Mapping[str, Tensor], epsilon: float
) -> dict[str, Tensor] | None:
    """Return the layers' weights under our names; None if the network has another number of layers.

    Args:
        layers: the layers in the order in which they run.
        expected: our network's tensors; only the names and the numbers of axes matter.
        epsilon: the epsilon of the network's batch normalization, which then only adds the bias.
    """
    names = [name.removesuffix(".weight") for name, t in expected.items() if _has_weights(name, t)]
    if len(names) != len(layers):
        return None
    tensors: dict[str, Tensor] = {}
    for name, layer in zip(names, layers, strict=True):
        # The gate of squeeze-and-excite is ReLU6(x + 3) / 6; converters add the 3 to the bias before it.
        bias = layer.bias - 3 if name.endswith("squeeze.expand") and layer.clipped else layer.bias
        is_matrix = expected[f"{name}.weight"].ndim == 2
        tensors[f"{name}.weight"] = layer.weights.flatten(1) if is_matrix else layer.weights
        if f"{name}.bias" in expected:
            tensors[f"{name}.bias"] = bias
        else:
            tensors |= _adding(f"{name.removesuffix('conv')}norm", bias, epsilon)
    return {name: tensors[name] for name in expected if not name.endswith(COUNTER)}


def _has_weights(name: str, tensor: Tensor) -> bool:
    return name.endswith(".weight") and tensor.ndim > 1


def _adding(norm: str, bias: Tensor, epsilon: float) -> dict[str, Tensor]:
    """Return the tensors of a batch normalization that only adds `bias`."""
    return {
        f"{norm}.weight": torch.ones_like(bias),
        f"{norm}.bias": bias,
        f"{norm}.running_mean": torch.zeros_like(bias),
        f"{norm}.running_var": torch.full_like(bias, 1 - epsilon),
    }


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
