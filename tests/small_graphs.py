"""Small graphs for the tests of graph, quantize and tflite, and LiteRT to run the files that are written from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgenet.graph.ir import WEIGHTED, Conv2D, DepthwiseConv2D, FullyConnected, Graph, Pads, PixelEncoding
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.quantize.ranges import encode_tensors, observe_ranges
from edgenet.quantize.rounding import quantize_weights
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import emit_nodes
from edgenet.tflite.operator_steps import EmitState
from edgenet.tflite.program import ProgramBuilder


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one torch thread: on a busy machine torch's threads mostly wait for each other. For the conftest files."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


PIXELS = PixelEncoding(1 / 127.5, 127)
Make = Callable[[GraphBuilder, str], str]


def build(make: Make, size: tuple[int, int] = (6, 6), channels: int = 3, seed: int = 0) -> Graph:
    """Return a graph that takes pixels; `make` gets a picture with `channels` channels, from a 1x1 convolution."""
    builder = GraphBuilder("small", "image", (1, *size, 3))
    source = "image"
    if channels != 3:
        source = builder.add(conv(np.random.default_rng(seed + 100), 3, channels, (1, 1)), [source], "wide")
    return builder.graph(make(builder, source), PIXELS)


def photos(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Return random pixels, uint8 [count, H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


def conv(
    rng: np.random.Generator,
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    groups: int = 1,
    pads: Pads = Pads(),
) -> Conv2D:
    """Return a convolution with random weights whose output has the size of its input."""
    weight = _weight(rng, (outputs, *kernel, inputs // groups), 0)
    return Conv2D(weight, _bias(rng, outputs), groups=groups, pads=pads)


def depthwise(
    rng: np.random.Generator,
    channels: int,
    kernel: tuple[int, int],
    multiplier: int = 1,
    pads: Pads = Pads(),
) -> DepthwiseConv2D:
    """Return a depthwise convolution with random weights."""
    weight = _weight(rng, (1, *kernel, channels * multiplier), 3)
    return DepthwiseConv2D(weight, _bias(rng, channels * multiplier), pads=pads)


def fully_connected(rng: np.random.Generator, inputs: int, outputs: int) -> FullyConnected:
    """Return a fully connected layer with random weights."""
    return FullyConnected(_weight(rng, (outputs, inputs), 0), _bias(rng, outputs))


def _weight(rng: np.random.Generator, shape: tuple[int, ...], output_axis: int) -> NDArray[np.float32]:
    fan_in = np.prod(shape) / shape[output_axis]
    return (rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)


def _bias(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    return rng.normal(scale=0.3, size=count).astype(np.float32)


def quantize(graph: Graph, images: NDArray[np.uint8]) -> QuantizedGraph:
    """Quantize in the simplest way: min/max ranges, weights rounded to nearest."""
    encodings = encode_tensors(graph, observe_ranges(graph, images))
    weights = {
        node.name: quantize_weights(node.operator, encodings[node.inputs[0]].scale)
        for node in graph.nodes
        if isinstance(node.operator, WEIGHTED)
    }
    return QuantizedGraph(graph, encodings, weights)


def float_file(graph: Graph) -> bytes:
    """Return a float file without the clients' input and output: decoded pixels in, the graph's output out."""
    state = EmitState(graph, None, ProgramBuilder(graph.name), {})
    source = state.activation_tensor(graph.input, is_float=True)
    return write_tflite(state.builder.program(source, emit_nodes(state)))


def interpreter(data: bytes, builtin: bool = False) -> Any:
    """Return LiteRT with the file loaded; `builtin` leaves XNNPACK out."""
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if builtin else OpResolverType.AUTO
    runner = Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=kind)
    runner.allocate_tensors()
    return runner


def lite(data: bytes, inputs: NDArray[Any], builtin: bool = False) -> NDArray[Any]:
    """Return LiteRT's outputs for inputs [n, ...], one by one."""
    runner = interpreter(data, builtin)
    source, target = runner.get_input_details()[0]["index"], runner.get_output_details()[0]["index"]
    outputs = []
    for value in inputs:
        runner.set_tensor(source, value[None])
        runner.invoke()
        outputs.append(runner.get_tensor(target)[0].copy())
    return np.stack(outputs)


def as_int8(images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return pixels as the raw int8 file takes them."""
    return (images.astype(np.int16) - 128).astype(np.int8)
