"""The fake-quantized reading: float arithmetic on values that are rounded as int8 rounds them, open to training.

Rounding has no useful gradient; it is passed straight through where the value was not clipped (arXiv 1308.3432,
1712.05877). Trainable are every weight, as a real number of int8 steps, and every bias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenet.graph.executor import apply, convolve, forget, last_uses, pad
from edgenet.graph.ir import Node
from edgenet.graph.operators import WEIGHTED, FullyConnected, Pad, Weighted
from edgenet.quantize.encodings import HIGH, LOW, WEIGHT_LIMIT, Encoding, QuantizedGraph, QuantizedWeights
from edgenet.quantize.weights import per_channel, quantize_bias

Observer = Callable[[str, Tensor], None]


class _RoundToEncoding(torch.autograd.Function):
    """Real numbers to the nearest that an encoding has."""

    @staticmethod
    def forward(context: Any, x: Tensor, scale: float, zero_point: int) -> Tensor:
        steps = (x * (1 / scale)).round_()
        low, high = LOW - zero_point, HIGH - zero_point
        context.save_for_backward((steps >= low) & (steps <= high))
        return steps.clamp_(low, high).mul_(scale)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = context.saved_tensors
        return gradients[0] * inside, None, None


class _RoundSteps(torch.autograd.Function):
    """Real steps to whole ones within +-127."""

    @staticmethod
    def forward(context: Any, steps: Tensor) -> Tensor:
        return steps.round().clamp_(-WEIGHT_LIMIT, WEIGHT_LIMIT)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class FakeQuantized(nn.Module):
    """A quantized graph whose weights and biases can be trained.

    Args:
        quantized: where the training starts.
    """

    def __init__(self, quantized: QuantizedGraph) -> None:
        super().__init__()
        self.quantized = quantized
        self.steps = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        self.keys = {node.name: str(i) for i, node in enumerate(quantized.graph.nodes)}
        for node in quantized.graph.nodes:
            operator = node.operator
            if isinstance(operator, WEIGHTED):
                self._add_layer(node, operator, quantized.weights[node.name])

    def _add_layer(self, node: Node, operator: Weighted, weights: QuantizedWeights) -> None:
        key = self.keys[node.name]
        source = np.float64(self.quantized.encodings[node.inputs[0]].scale)
        bias = weights.bias * source * np.float64(weights.scales)
        self.steps[key] = nn.Parameter(torch.from_numpy(weights.values.astype(np.float32)))
        self.biases[key] = nn.Parameter(torch.from_numpy(bias.astype(np.float32)))
        sizes = per_channel(operator, weights.scales)
        self.register_buffer(f"step_size_{key}", torch.from_numpy(sizes.copy()))

    def forward(self, pixels: Tensor, observe: Observer | None = None) -> Tensor:
        """Logits of decoded input.

        Args:
            pixels: [n, H, W, 3] as `graph.executor.decode_pixels` gives them.
            observe: called with every tensor's name and value.
        """
        graph = self.quantized.graph
        values = {graph.input: pixels}
        last_use = last_uses(graph)
        for node in graph.nodes:
            result = self._run_node(node, [values[name] for name in node.inputs])
            values[node.output] = result
            if observe:
                observe(node.output, result)
            forget(values, node, last_use)
        return values[graph.output]

    def _run_node(self, node: Node, inputs: list[Tensor]) -> Tensor:
        operator = node.operator
        if isinstance(operator, Pad) and operator.value == 0:
            return pad(inputs[0], operator.pads)
        if isinstance(operator, WEIGHTED):
            result = self._weighted(node, operator, inputs[0])
        else:
            result = apply(operator, inputs)
        encoding: Encoding = self.quantized.encodings[node.output]
        return _RoundToEncoding.apply(result, encoding.scale, encoding.zero_point)

    def _weighted(self, node: Node, operator: Weighted, x: Tensor) -> Tensor:
        key = self.keys[node.name]
        weight = _RoundSteps.apply(self.steps[key]) * getattr(self, f"step_size_{key}")
        bias = self.biases[key]
        low, high = operator.activation.bounds
        if isinstance(operator, FullyConnected):
            result = functional.linear(x, weight, bias)
        else:
            padded = pad(x, operator.pads) if any(operator.pads) else x
            result = convolve(operator, padded, weight, bias)
        return result if np.isinf(low) else result.clamp(low, None if np.isinf(high) else high)

    def finished(self) -> QuantizedGraph:
        """The integers that the training came to."""
        weights = dict(self.quantized.weights)
        for name, key in self.keys.items():
            if key not in self.steps:
                continue
            node = next(n for n in self.quantized.graph.nodes if n.name == name)
            old = weights[name]
            steps = self.steps[key].detach().cpu().round().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
            bias = self.biases[key].detach().cpu().numpy()
            source = self.quantized.encodings[node.inputs[0]].scale
            values = steps.to(torch.int8).numpy()
            weights[name] = QuantizedWeights(values, old.scales, quantize_bias(bias, source, old.scales))
        return replace(self.quantized, weights=weights)
