"""Fake quantization for training: run the exact int8 arithmetic in float32, with gradients.

Tensors hold q - z as float32: whole steps from their zero point z. Sums of products of whole numbers below
2**24 are exact in float32, in any order. So a convolution gives exactly the integers of `quantize.integer`,
and is requantized by the same float32 multiplication and rounding. Every other operator takes its values from
`quantize.integer` itself.

Rounding has no useful gradient, so the gradient is passed straight through where the value was not clipped
(arXiv 1308.3432, 1712.05877). The trainable parameters are every weight, as a real number of int8 steps, and
every bias, as a real number of steps of its layer's output. The encodings and the weights' scales stay fixed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenet.graph.executor import Observer, apply, free_after, last_uses
from edgenet.graph.ir import WEIGHTED, Concat, Node, Pad, Reshape, Transpose, Weighted
from edgenet.quantize.integer import apply_integer, bounds, multiplier, products
from edgenet.quantize.quantized_graph import BIAS_LIMIT, HIGH, LOW, WEIGHT_LIMIT, Encoding, QuantizedGraph


class FakeQuantized(nn.Module):
    """A quantized graph whose weights and biases can be trained.

    Args:
        quantized: the graph from which training starts; all its layers are int8.

    Raises:
        TypeError: some nodes of the graph are kept in float.
    """

    def __init__(self, quantized: QuantizedGraph) -> None:
        super().__init__()
        if quantized.kept_float:
            raise TypeError(f"'{quantized.graph.name}' has float layers: only int8 graphs can be trained")
        self.quantized = quantized
        self.steps = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        # Node names may contain dots, which torch does not allow in parameter names.
        self.keys = {node.name: str(i) for i, node in enumerate(quantized.graph.nodes)}
        for node in quantized.graph.nodes:
            if isinstance(node.operator, WEIGHTED):
                weights = quantized.weights[node.name]
                bias = weights.bias.astype(np.float32) * self._multiplier(node)
                self.steps[self.keys[node.name]] = _parameter(weights.values)
                self.biases[self.keys[node.name]] = _parameter(bias)

    def forward(self, pixels: Tensor, observe: Observer | None = None) -> Tensor:
        """Return the logits of decoded photos, as real numbers.

        Args:
            pixels: [n, H, W, 3], as `graph.executor.decode_pixels` gives them; they are rounded to the
                input's steps.
            observe: called with the name and value of every node's output, in whole steps from its zero
                point.
        """
        graph, encodings = self.quantized.graph, self.quantized.encodings
        values = {graph.input: _to_steps(pixels, encodings[graph.input])}
        last_use = last_uses(graph)
        for node in graph.nodes:
            result = self._run_node(node, [values[name] for name in node.inputs])
            values[node.output] = result
            if observe:
                observe(node.output, result)
            free_after(values, node, last_use)
        return values[graph.output] * encodings[graph.output].scale

    def _run_node(self, node: Node, inputs: list[Tensor]) -> Tensor:
        operator = node.operator
        if isinstance(operator, WEIGHTED):
            return self._weighted(node, operator, inputs[0])
        if isinstance(operator, Concat | Reshape | Transpose) or (
            isinstance(operator, Pad) and operator.value == 0
        ):
            return apply(operator, inputs)  # moves values only; its tensors share one encoding
        return self._exactly(node, inputs)

    def _weighted(self, node: Node, operator: Weighted, x: Tensor) -> Tensor:
        key, output = self.keys[node.name], self.quantized.encodings[node.output]
        factor = torch.from_numpy(self._multiplier(node)).to(x.device)
        weight = _RoundWeights.apply(self.steps[key])
        bias = _Round.apply(self.biases[key], 1 / factor, -BIAS_LIMIT, BIAS_LIMIT)
        low, high = bounds(operator.activation, output)
        sums = products(operator, weight, bias, x)
        return _Round.apply(sums, factor, low - output.zero_point, high - output.zero_point)

    def _exactly(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """Run a node with the exact integer values and the gradient of real arithmetic."""
        encodings = [self.quantized.encodings[name] for name in node.inputs]
        output = self.quantized.encodings[node.output]
        pairs = list(zip(inputs, encodings, strict=True))
        real = apply(node.operator, [x * encoding.scale for x, encoding in pairs])
        with torch.no_grad():
            integers = [(x + encoding.zero_point).to(torch.int8) for x, encoding in pairs]
            exact = apply_integer(self.quantized, node, integers).to(torch.float32) - output.zero_point
        zero = output.zero_point
        return _ExactForward.apply(real / output.scale, exact, LOW - zero, HIGH - zero)

    def _multiplier(self, node: Node) -> NDArray[np.float32]:
        """Return the number of output steps that one unit of the sums is worth, float32 [O]."""
        encodings = self.quantized.encodings
        weights = self.quantized.weights[node.name]
        return multiplier(encodings[node.inputs[0]], weights, encodings[node.output])

    @torch.no_grad()
    def finished(self) -> QuantizedGraph:
        """Return the quantized graph with the trained integers."""
        weights = dict(self.quantized.weights)
        for node in self.quantized.graph.nodes:
            key = self.keys[node.name]
            if key not in self.steps:
                continue
            factor = torch.from_numpy(self._multiplier(node))
            values = _RoundWeights.apply(self.steps[key].cpu()).to(torch.int8).numpy()
            bias = _Round.apply(self.biases[key].cpu(), 1 / factor, -BIAS_LIMIT, BIAS_LIMIT)
            weights[node.name] = replace(weights[node.name], values=values, bias=bias.to(torch.int32).numpy())
        return replace(self.quantized, weights=weights)


def _parameter(values: NDArray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(values.astype(np.float32)))


def _to_steps(x: Tensor, encoding: Encoding) -> Tensor:
    low, high = LOW - encoding.zero_point, HIGH - encoding.zero_point
    return (x / encoding.scale).round().clamp(low, high)


class _Round(torch.autograd.Function):
    """Multiply, round half to even and clip; the gradient passes where the value was not clipped."""

    @staticmethod
    def forward(context: Any, x: Tensor, factor: Tensor, low: int, high: int) -> Tensor:
        steps = (x * factor).round_()
        context.save_for_backward((steps >= low) & (steps <= high), factor)
        return steps.clamp_(low, high)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        inside, factor = context.saved_tensors
        return gradients[0] * inside * factor, None, None, None


class _RoundWeights(torch.autograd.Function):
    """Round weights to whole steps within +-127; a weight beyond that may move back, but not further out."""

    @staticmethod
    def forward(context: Any, steps: Tensor) -> Tensor:
        context.save_for_backward(steps)
        return steps.round().clamp_(-WEIGHT_LIMIT, WEIGHT_LIMIT)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (steps,) = context.saved_tensors
        # Descent moves against the gradient, so a gradient of the opposite sign moves the weight outward.
        outward = (steps.abs() > WEIGHT_LIMIT) & (gradients[0] * steps < 0)
        return gradients[0].masked_fill(outward, 0)


class _ExactForward(torch.autograd.Function):
    """Return the `exact` value, and pass the gradient to `smooth` where `smooth` is not clipped."""

    @staticmethod
    def forward(context: Any, smooth: Tensor, exact: Tensor, low: int, high: int) -> Tensor:
        steps = smooth.round()
        context.save_for_backward((steps >= low) & (steps <= high))
        return exact

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = context.saved_tensors
        return gradients[0] * inside, None, None, None
