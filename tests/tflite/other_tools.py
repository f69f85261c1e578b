"""Float .tflite files as other tools write them: each function builds one form that edgenet's writer does not use.

The forms of Keras and litert-torch were looked up in their files; `test_keras_files.py` makes real ones.
"""

from __future__ import annotations

from collections.abc import Callable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.program import FileTensor, ProgramBuilder

SIZE = 10
CLASSES = 5


class Network:
    """A file under construction; tensors are indices, all of them float32 unless stated otherwise."""

    def __init__(self, shape: tuple[int, ...] = (1, SIZE, SIZE, 3), dtype: str = "float32") -> None:
        self.builder = ProgramBuilder("net")
        self.rng = np.random.default_rng(5)
        self.input = self.builder.tensor("image", shape, dtype)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self.builder.tensors[tensor].shape

    def constant(self, value: object, dtype: type = np.float32) -> int:
        """Add a constant; a number becomes a tensor without axes."""
        data = np.array(value, dtype)
        name = f"constant{len(self.builder.tensors)}"
        self.builder.tensors.append(FileTensor(name, data.shape, str(data.dtype), None, data))
        return len(self.builder.tensors) - 1

    def random(self, *shape: int) -> int:
        """Return random weights; the second last axis counts as the inputs."""
        scale = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.3
        return self.constant(self.rng.normal(size=shape) * scale)

    def make(
        self, kind: str, inputs: list[int], shape: tuple[int, ...], dtype: str = "float32", **options: object
    ) -> int:
        """Add an operator with one output."""
        output = self.builder.tensor(f"{kind.lower()}{len(self.builder.tensors)}", shape, dtype)
        return self.builder.operator(kind, 1, tuple(inputs), output, options)

    def conv(self, x: int, channels: int = 8, activation: str = "RELU") -> int:
        """Add a 3x3 convolution that keeps the picture's size."""
        one, height, width, inputs = self.shape(x)
        weights = [self.random(channels, 3, 3, inputs), self.random(channels)]
        return self.make(
            *("CONV_2D", [x, *weights], (one, height, width, channels)),
            **{"padding": "SAME", "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1},
            fusedActivationFunction=activation,
        )

    def mean(self, x: int) -> int:
        """Add the mean over height and width, [1, C]."""
        return self.make("MEAN", [x, self.constant([1, 2], np.int32)], (1, self.shape(x)[3]))

    def dense(self, x: int) -> int:
        """Add the classifier."""
        inputs = int(np.prod(self.shape(x)))
        return self.make(
            "FULLY_CONNECTED", [x, self.random(CLASSES, inputs), self.random(CLASSES)], (1, CLASSES)
        )

    def transpose(self, x: int, *order: int) -> int:
        """Add a transpose."""
        shape = self.shape(x)
        return self.make(
            "TRANSPOSE", [x, self.constant(order, np.int32)], tuple(shape[axis] for axis in order)
        )

    def file(self, output: int) -> bytes:
        """Return the bytes of the file."""
        return write_tflite(self.builder.program(self.input, output))


def half_precision() -> bytes:
    """Post-training float16: weights as float16, with a DEQUANTIZE in front of every operator that reads them."""
    net = Network()
    net.dense(net.mean(net.conv(net.input)))
    return changed(net.file(len(net.builder.tensors) - 1), _weights_to_half)


def _weights_to_half(model: schema.ModelT) -> None:
    graph = model.subgraphs[0]
    model.operatorCodes.append(schema.OperatorCodeT())
    code = model.operatorCodes[-1]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    unpacking = []
    for index, tensor in enumerate(list(graph.tensors)):
        data = model.buffers[tensor.buffer].data
        if data is None or len(data) == 0 or tensor.type != schema.TensorType.FLOAT32:
            continue
        real = schema.TensorT()
        real.name, real.shape, real.type, real.buffer = tensor.name + b"/real", tensor.shape, tensor.type, 0
        graph.tensors.append(real)
        half = np.frombuffer(bytes(data), np.float32).astype(np.float16)
        model.buffers[tensor.buffer].data = half.view(np.uint8)
        tensor.type = schema.TensorType.FLOAT16
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = len(model.operatorCodes) - 1, [index]
        operator.outputs = [len(graph.tensors) - 1]
        unpacking.append(operator)
        for reader in graph.operators:
            reader.inputs = [operator.outputs[0] if i == index else i for i in reader.inputs]
    graph.operators = unpacking + graph.operators


def open_batch() -> bytes:
    """Keras' Flatten with an open batch: SHAPE, STRIDED_SLICE and PACK compute the shape for RESHAPE."""
    net = Network()
    x = net.conv(net.input)
    count = int(np.prod(net.shape(x)))
    shape = net.make("SHAPE", [x], (4,), "int32", outType=schema.TensorType.INT32)
    ends = [net.constant([n], np.int32) for n in (0, 1, 1)]
    batch = net.make("STRIDED_SLICE", [shape, *ends], (), "int32", shrinkAxisMask=1)
    wanted = net.make("PACK", [batch, net.constant(-1, np.int32)], (2,), "int32", valuesCount=2, axis=0)
    data = net.file(net.dense(net.make("RESHAPE", [x, wanted], (1, count))))
    return changed(data, lambda model: open_axes(model, -1, SIZE, SIZE, 3))


def open_axes(model: schema.ModelT, *signature: int) -> None:
    """Lets the caller choose the sizes of the input that are -1."""
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shapeSignature = list(signature)


def channels_first() -> bytes:
    """litert-torch: input [1, 3, H, W], a TRANSPOSE after it, and another before a mean over axes 2 and 3."""
    net = Network((1, 3, SIZE, SIZE))
    x = net.transpose(net.conv(net.transpose(net.input, 0, 2, 3, 1)), 0, 3, 1, 2)
    return net.file(net.dense(net.make("MEAN", [x, net.constant([2, 3], np.int32)], (1, 8))))


def channels_first_flattened() -> bytes:
    """litert-torch: features flattened in the order C, H, W."""
    net = Network((1, 3, SIZE, SIZE))
    x = net.transpose(net.conv(net.transpose(net.input, 0, 2, 3, 1)), 0, 3, 1, 2)
    count = int(np.prod(net.shape(x)))
    flat = net.make("RESHAPE", [x, net.constant([1, count], np.int32)], (1, count))
    return net.file(net.dense(flat))


def channels_first_largest() -> bytes:
    """litert-torch: torch.amax(x, (2, 3))."""
    net = Network((1, 3, SIZE, SIZE))
    x = net.transpose(net.conv(net.transpose(net.input, 0, 2, 3, 1)), 0, 3, 1, 2)
    return net.file(net.dense(net.make("REDUCE_MAX", [x, net.constant([2, 3], np.int32)], (1, 8))))


def sums() -> bytes:
    """A sum over the picture, divided by a constant."""
    net = Network()
    total = net.make("SUM", [net.conv(net.input), net.constant([1, 2], np.int32)], (1, 8))
    return net.file(net.dense(net.make("DIV", [total, net.constant(50.0)], (1, 8))))


def separate_activations() -> bytes:
    """Activations fused into operators whose graph node cannot have one."""
    net = Network()
    x = net.conv(net.input, activation="NONE")
    window = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2, "padding": "VALID"}
    pooled = [
        net.make(kind, [x], (1, 5, 5, 8), **window, fusedActivationFunction=activation)
        for kind, activation in (("AVERAGE_POOL_2D", "RELU"), ("MAX_POOL_2D", "RELU6"))
    ]
    both = net.make("CONCATENATION", pooled, (1, 5, 5, 16), axis=3, fusedActivationFunction="RELU6")
    scaled = net.make("MUL", [both, net.random(16)], (1, 5, 5, 16), fusedActivationFunction="RELU")
    return net.file(net.dense(net.mean(scaled)))


def unflattened() -> bytes:
    """A FULLY_CONNECTED that reads a picture, which TFLite flattens by itself."""
    net = Network()
    return net.file(net.dense(net.conv(net.input)))


def four_axes() -> bytes:
    """Scores as [1, 1, 1, N] from a 1x1 convolution after a max pooling that is padded with the lowest number."""
    net = Network()
    lowest = net.constant(-np.inf)
    pads = net.constant([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    x = net.make("PADV2", [net.conv(net.input), pads, lowest], (1, 12, 12, 8))
    window = {"filterHeight": 12, "filterWidth": 12, "strideH": 1, "strideW": 1, "padding": "VALID"}
    x = net.make("MAX_POOL_2D", [x], (1, 1, 1, 8), **window, fusedActivationFunction="NONE")
    return net.file(net.conv(x, CLASSES, "NONE"))


def scaling_inside() -> bytes:
    """Keras' Rescaling and Normalization as operators at the input, before a padded convolution."""
    net = Network()
    shape = net.shape(net.input)
    x = net.make("MUL", [net.input, net.constant(1 / 255)], shape)
    x = net.make("SUB", [x, net.constant([[[[0.485, 0.456, 0.406]]]])], shape)
    x = net.make("DIV", [x, net.constant([[[[0.229, 0.224, 0.225]]]])], shape)
    return net.file(net.dense(net.mean(net.conv(x))))


def casts_pixels() -> bytes:
    """uint8 pixels, cast to float32 by the network."""
    net = Network(dtype="uint8")
    options = {"inDataType": schema.TensorType.UINT8, "outDataType": schema.TensorType.FLOAT32}
    x = net.make("CAST", [net.input], net.shape(net.input), **options)
    x = net.make("MUL", [x, net.constant(1 / 127.5)], net.shape(x))
    return net.file(net.dense(net.mean(net.conv(net.make("SUB", [x, net.constant(1.0)], net.shape(x))))))


def turned_weights() -> bytes:
    """Weights that the file stores in another order and transposes itself."""
    net = Network()
    weights = net.transpose(net.random(3, 3, 3, 8), 3, 0, 1, 2)
    one, height, width, _ = net.shape(net.input)
    x = net.make(
        *("CONV_2D", [net.input, weights, net.random(8)], (one, height, width, 8)),
        **{"padding": "SAME", "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1},
    )
    return net.file(net.dense(net.mean(x)))


def several_signatures() -> bytes:
    """Two names for one network."""
    net = Network()

    def twice(model: schema.ModelT) -> None:
        (first,) = model.signatureDefs
        second = schema.SignatureDefT()
        second.signatureKey, second.inputs, second.outputs = b"other", first.inputs, first.outputs
        model.signatureDefs.append(second)

    return changed(net.file(net.dense(net.mean(net.conv(net.input)))), twice)


def no_signature() -> bytes:
    """A file as TensorFlow wrote it before 2.5."""
    net = Network()
    data = net.file(net.dense(net.mean(net.conv(net.input))))
    return changed(data, lambda model: setattr(model, "signatureDefs", None))


def changed(data: bytes, change: Callable[[schema.ModelT], None]) -> bytes:
    """Return the file after a change of its schema's tables."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def for_litert(data: bytes, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pictures [n, H, W, 3] as the file takes them."""
    graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    shape = graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()
    return pixels.transpose(0, 3, 1, 2) if shape[1] == 3 else pixels


FILES: dict[str, Callable[[], bytes]] = {
    make.__name__: make
    for make in (
        *(half_precision, open_batch, channels_first, channels_first_flattened, channels_first_largest),
        *(sums, separate_activations, unflattened, four_axes, scaling_inside, casts_pixels, turned_weights),
        *(several_signatures, no_signature),
    )
}
