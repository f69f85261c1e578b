"""Build small ONNX models node by node, and run them with onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgenet.graph.executor import run, run_tensors
from edgenet.graph.ir import Graph, Operator
from edgenet.graph.lower import lower
from edgenet.graph.onnx_reader import read_onnx_model
from edgenet.graph.simplify import simplify
from edgenet.zoo.classifier import TORCHVISION

Attributes = dict[str, Any]


class Onnx:
    """Collects nodes and constants; "image" is the input."""

    def __init__(self, shape: tuple[Any, ...] = (1, 3, 8, 8), opset: int = 17) -> None:
        self.shape = shape
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.rng = np.random.default_rng(7)

    def constant(self, value: Any) -> str:
        """Add an initializer; return its name."""
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def random(self, *shape: int) -> str:
        """Add an initializer of random float32 numbers; products with it keep about the same size."""
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 1
        return self.constant((self.rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32))

    def op(self, kind: str, inputs: list[str], attributes: Attributes | None = None) -> str:
        """Add a node with one output; return the output's name."""
        output = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name=f"the_{output}", **(attributes or {}))
        )
        return output

    def several(
        self, kind: str, inputs: list[str], count: int, attributes: Attributes | None = None
    ) -> list[str]:
        """Add a node with several outputs; return their names."""
        outputs = [f"{kind.lower()}{len(self.nodes)}_{number}" for number in range(count)]
        self.nodes.append(
            helper.make_node(kind, inputs, outputs, name=f"the_{outputs[0]}", **(attributes or {}))
        )
        return outputs

    def conv(self, source: str, outputs: int, inputs: int = 3) -> str:
        """Add a plain 3x3 convolution."""
        weights = [self.random(outputs, inputs, 3, 3), self.random(outputs)]
        return self.op("Conv", [source, *weights], {"pads": [1, 1, 1, 1]})

    def model(self, *outputs: str) -> ModelProto:
        """Return the finished model."""
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def reference(model: ModelProto, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return onnxruntime's output, flattened to [n, N], for inputs [n, ...] that it takes one by one."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": x[None]})[0].reshape(1, -1) for x in inputs])


def check_against_onnxruntime(model: ModelProto, softmax: bool = False) -> Graph:
    """Compare the graph with onnxruntime, first as it was read, then simplified and lowered; return the lowered graph.

    With `softmax`, the model ends in a softmax, which simplifying removes.
    """
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    nchw = dims[1] == 3
    size = (dims[2], dims[3]) if nchw else (dims[1], dims[2])
    pixels = np.random.default_rng(1).integers(0, 256, (3, *size, 3), np.uint8)
    mean, std = np.float32(TORCHVISION.mean), np.float32(TORCHVISION.std)
    inputs = (pixels.astype(np.float32) - mean) / std
    expected = reference(model, np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)) if nchw else inputs)

    graph = read_onnx_model(model, "small")
    read = np.concatenate([run_tensors(graph, torch.from_numpy(x[None])).numpy() for x in inputs])
    np.testing.assert_allclose(read, expected, atol=1e-4, rtol=0)

    lowered = lower(simplify(graph, TORCHVISION), exact_border=True)
    result = run(lowered, pixels)
    if softmax:
        result = torch.from_numpy(result).softmax(1).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-4, rtol=0)
    return lowered


def check_picture(net: Onnx, value: str) -> Graph:
    """Compare all values of a picture, flattened in ONNX's order."""
    return check_against_onnxruntime(net.model(net.op("Flatten", [value])))


def kinds(graph: Graph) -> list[type[Operator]]:
    """Return the types of the graph's operators, in order."""
    return [type(node.operator) for node in graph.nodes]
