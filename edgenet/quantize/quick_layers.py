"""Quantize layers quickly: weights are rounded to nearest, and biases corrected.

Only the integers that the device computes are carried along; of the float network, the means of its tensors are enough.
Each layer's sums of products are computed once: they give the bias, and then the layer's output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import free_after, last_uses, tensor_of
from edgenet.graph.ir import WEIGHTED, Graph, Node
from edgenet.progress import Progress, silent
from edgenet.quantize.calibrate_layers import CHUNK, run_as_device, solve_bias
from edgenet.quantize.integer import (
    EXACT_IN_FLOAT32,
    LayerSums,
    TensorStore,
    multiplier,
    pixels_to_int8,
    requantize,
)
from edgenet.quantize.known_tensors import sampled
from edgenet.quantize.quantized_graph import (
    Encoding,
    QuantizedGraph,
    QuantizedWeights,
    float_nodes,
    keep_float,
)
from edgenet.quantize.rounding import least_squares_scales, quantize_bias, round_nearest


@torch.inference_mode()
def quantize_quickly(
    graph: Graph,
    encodings: dict[str, Encoding],
    images: NDArray[np.uint8],
    means: Mapping[str, NDArray[np.float64]],
    progress: Progress = silent,
) -> QuantizedGraph:
    """Quantize every layer, in graph order.

    Args:
        graph: a lowered float graph.
        encodings: the encoding of every tensor.
        images: the photos that correct the biases, uint8 RGB [n, H, W, 3].
        means: the mean of every tensor of the float graph on the same photos, at the positions of `sampled`, [C].
        progress: called after each node.
    """
    quantized = QuantizedGraph(graph, encodings, {}, float_nodes(graph))
    store = TensorStore(encodings, {graph.input: pixels_to_int8(images)}, {})
    last_use = last_uses(graph)
    for number, node in enumerate(graph.nodes):
        if isinstance(node.operator, WEIGHTED):
            weights, output = _quantize_layer(
                quantized, node, store.integer(node.inputs[0]), means[node.output]
            )
            quantized = replace(quantized, weights={**quantized.weights, node.name: weights})
            store.integers[node.output] = output
        else:
            run_as_device(quantized, node, store)
        for values in (store.integers, store.reals):
            free_after(values, node, last_use)
        progress("quantizing layers", number + 1, len(graph.nodes))
    return keep_float(quantized, ())


def _quantize_layer(
    quantized: QuantizedGraph, node: Node, x: Tensor, mean: NDArray[np.float64]
) -> tuple[QuantizedWeights, Tensor]:
    """Return a layer's integers and its int8 output for all photos."""
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    source, output = quantized.encodings[node.inputs[0]], quantized.encodings[node.output]
    scales = least_squares_scales(operator, source.scale)
    weights = QuantizedWeights(round_nearest(operator, scales), scales, np.zeros(len(scales), np.int32))
    without_bias = LayerSums(operator, weights)
    sums = [without_bias.of(part, source) for part in x.split(CHUNK)]
    step = torch.from_numpy(scales * np.float32(source.scale))
    before = torch.cat([sampled(part, len(x)) for part in sums]).float() * step
    bias = solve_bias(
        before, tensor_of(operator.bias).double(), torch.from_numpy(mean), operator.activation.bounds
    )
    weights = replace(weights, bias=quantize_bias(bias.numpy(), source.scale, scales))
    factor = torch.from_numpy(multiplier(source, weights, output))
    made = [requantize(_added(part, weights.bias), factor, output, operator.activation) for part in sums]
    return weights, torch.cat(made)


def _added(sums: Tensor, bias: NDArray[np.int32]) -> Tensor:
    """Return exact sums plus bias, in float64 if float32 might not hold them."""
    low, high = sums.aminmax()
    largest = max(-float(low), float(high)) + float(np.abs(bias.astype(np.int64)).max())
    exact = torch.float32 if largest < EXACT_IN_FLOAT32 and sums.dtype == torch.float32 else torch.float64
    return sums.to(exact) + torch.from_numpy(bias).to(exact)
