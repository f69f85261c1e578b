"""How much a small error, of an activation or a weight, moves the logits.

With g the gradient of r'y, where y are the logits and every r is +1 or -1 at random, E[g g'] = J'J: an error e of
covariance D then moves the logits by tr(D E[g g']) in energy, to first order (Hutchinson's estimator, 1990). Rounding
errors have such a covariance: step^2 / 12 for each value, independent. That is what equalization weighs.

Errors of an activation differ from position to position, so its gradients are squared before they are summed over
positions. A weight has the same error everywhere: its gradients are summed over positions first. What a weight's error
does to the mean is left out, because bias correction takes it back: with b the bias and m the input's mean, the
gradient is g_W - g_b m'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import activate, apply, convolve, decode_pixels, pad, tensor_of
from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import WEIGHTED, DepthwiseConv2D, FullyConnected, Weighted
from edgenet.progress import Progress, silent
from edgenet.quantize.statistics import ChannelStatistics
from edgenet.quantize.weights import output_axis

PROBES = 2

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Whole:
    """For which tensors, rows and columns of nodes the whole matrix is wanted instead of its diagonal; see below."""

    tensors: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Energy at the logits for an error's energy, a mean over photos: E[g g'], or its diagonal.

    Attributes:
        tensors: for each tensor's channels, summed over positions: [C] or [C, C].
        rows: for each weighted node's output channels, summed over all that goes in: [O] or [O, O].
        columns: for its input channels, summed over outputs and the kernel: [I] or [I, I]; nothing for depthwise.
    """

    tensors: dict[str, Array] = field(default_factory=dict)
    rows: dict[str, Array] = field(default_factory=dict)
    columns: dict[str, Array] = field(default_factory=dict)


def logit_sensitivity(
    graph: Graph,
    images: NDArray[np.uint8],
    statistics: Mapping[str, ChannelStatistics],
    whole: Whole = Whole(),
    progress: Progress = silent,
    probes: int = PROBES,
) -> Sensitivity:
    """Estimates the sensitivity, a mean over photos; about a fifth of a second for each with MobileNetV2.

    Args:
        graph: lowered, float.
        images: uint8 RGB [n, H, W, 3]; 24 photos are plenty.
        statistics: of every tensor, for the means.
        whole: where matrices are wanted.
        probes: random signs for each photo.
    """
    signs = torch.Generator().manual_seed(0)
    means = {name: torch.from_numpy(seen.mean).float() for name, seen in statistics.items()}
    layers = [node for node in graph.nodes if isinstance(node.operator, WEIGHTED)]
    found = Sensitivity()
    share = 1 / (len(images) * probes)
    for index in range(len(images)):
        values, weights, biases = _run_open(graph, images[index : index + 1])
        logits = values[graph.output]
        for probe in range(probes):
            sign = torch.randint(0, 2, logits.shape, generator=signs).float() * 2 - 1
            sources = [*values.values(), *weights, *biases]
            gradients = iter(torch.autograd.grad(logits, sources, sign, retain_graph=probe + 1 < probes))
            for name in values:
                gradient = next(gradients)
                _add(
                    found.tensors,
                    name,
                    gradient.reshape(-1, gradient.shape[-1]),
                    name in whole.tensors,
                    share,
                )
            of_weights = [next(gradients) for _ in layers]
            for node, gradient, of_bias in zip(layers, of_weights, gradients, strict=True):
                _add_weight(found, node, _centred(node, gradient, of_bias, means), whole, share)
        progress("measuring sensitivity", index + 1, len(images))
    return found


def _run_open(graph: Graph, image: NDArray[np.uint8]) -> tuple[dict[str, Tensor], list[Tensor], list[Tensor]]:
    """Every tensor of one photo, and every weight and bias in the graph's order, open to gradients."""
    values = {graph.input: decode_pixels(graph, image).requires_grad_(True)}
    weights, biases = [], []
    with torch.enable_grad():
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            operator = node.operator
            if isinstance(operator, WEIGHTED):
                weights.append(tensor_of(operator.weight).clone().requires_grad_(True))
                biases.append(tensor_of(operator.bias).clone().requires_grad_(True))
                values[node.output] = _weighted(operator, inputs[0], weights[-1], biases[-1])
            else:
                values[node.output] = apply(operator, inputs)
    return values, weights, biases


def _weighted(operator: Weighted, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if isinstance(operator, FullyConnected):
        return activate(torch.nn.functional.linear(x, weight, bias), operator.activation)
    padded = pad(x, operator.pads) if any(operator.pads) else x
    return activate(convolve(operator, padded, weight, bias), operator.activation)


def _centred(node: Node, gradient: Tensor, of_bias: Tensor, means: Mapping[str, Tensor]) -> Tensor:
    """A weight's gradient without what its bias can take back."""
    mean = means[node.inputs[0]]
    if isinstance(node.operator, DepthwiseConv2D):
        return gradient - of_bias * mean.repeat_interleave(len(of_bias) // len(mean))
    if getattr(node.operator, "groups", 1) > 1:
        return gradient  # its inputs differ from output to output
    return gradient - of_bias.reshape(-1, *(1,) * (gradient.ndim - 1)) * mean


def _add_weight(found: Sensitivity, node: Node, gradient: Tensor, whole: Whole, share: float) -> None:
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    axis = output_axis(operator)
    outputs = gradient.movedim(axis, 0).reshape(gradient.shape[axis], -1)
    _add(found.rows, node.name, outputs.T, node.name in whole.rows, share)
    if axis == 0:
        inputs = gradient.reshape(-1, gradient.shape[-1])
        _add(found.columns, node.name, inputs, node.name in whole.columns, share)


def _add(into: dict[str, Array], name: str, gradients: Tensor, whole: bool, share: float) -> None:
    """Adds the second moments of gradients [rows, C], or their diagonal."""
    moments = (gradients.T @ gradients if whole else (gradients * gradients).sum(0)).double().numpy() * share
    into[name] = into[name] + moments if name in into else moments
