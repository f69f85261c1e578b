"""Measure how much a small error of an activation or a weight moves the logits, and predict rounding noise from it.

Let g be the gradient of r'y, where y are the logits and each component of r is +1 or -1 at random. Then
E[g g'] = J'J, with J the Jacobian of the logits, and an error with covariance D moves the logits by
tr(D E[g g']) in energy, to first order (Hutchinson's estimator, 1990). Rounding errors have such a
covariance: they are independent, and uniform rounding to steps of d makes an error of variance d^2 / 12 for each
value. `activation_noise` and `weight_noise` predict the energy that this makes at the logits; equalization and
rotation minimize it with `descend`.

An activation's error differs from position to position, so its gradients are squared before they are summed
over positions. A weight's error is the same everywhere, so its gradients are summed over positions first. The
effect of a weight's error on the mean is left out, because bias correction undoes it: with b the bias and m
the input's mean, the gradient is g_W - g_b m'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgenet.graph.executor import apply, convolve, decode_pixels, tensor_of
from edgenet.graph.ir import WEIGHTED, DepthwiseConv2D, FullyConnected, Graph, Node, Weighted, output_axis
from edgenet.progress import Progress, silent
from edgenet.quantize.ranges import ChannelStatistics

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """The energy at the logits per energy of an error, as a mean over photos: E[g g'], or its diagonal.

    Attributes:
        tensors: for each tensor, by channel and summed over positions: [C] or [C, C].
        rows: for each weighted node, by output channel and summed over inputs and the kernel: [O] or [O, O].
        columns: for each weighted node except depthwise ones, by input channel and summed over outputs and
            the kernel: [I] or [I, I].
        coherence: for each tensor, how far an error that is the same at all positions adds up, 0 to 1. It is
            that error's energy at the logits, divided by the energy of independent errors and by the number
            of positions.
    """

    tensors: dict[str, Array] = field(default_factory=dict)
    rows: dict[str, Array] = field(default_factory=dict)
    columns: dict[str, Array] = field(default_factory=dict)
    coherence: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FullMatrixNames:
    """Names of the tensors and nodes whose whole matrix is computed instead of only its diagonal.

    `rows` and `columns` name nodes; `Sensitivity` explains what the rows and columns are.
    """

    tensors: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()


PROBES = 2


def logit_sensitivity(
    graph: Graph,
    images: NDArray[np.uint8],
    statistics: Mapping[str, ChannelStatistics],
    whole: FullMatrixNames = FullMatrixNames(),
    progress: Progress = silent,
    probes: int = PROBES,
) -> Sensitivity:
    """Estimate the sensitivity as a mean over photos; a photo takes about 0.2 seconds with MobileNetV2.

    Args:
        graph: a lowered float graph.
        images: uint8 RGB [n, H, W, 3]; 24 photos are plenty.
        statistics: statistics of every tensor, used for the means.
        whole: the tensors and nodes for which the whole matrix is computed instead of its diagonal.
        progress: called after each photo.
        probes: number of random sign vectors for each photo.
    """
    signs = torch.Generator().manual_seed(0)
    means = {name: torch.from_numpy(seen.mean).float() for name, seen in statistics.items()}
    layers = [node for node in graph.nodes if isinstance(node.operator, WEIGHTED)]
    found, alike = Sensitivity(), dict[str, float]()
    share = 1 / (len(images) * probes)
    for index in range(len(images)):
        values, weights, biases = _run_with_gradients(graph, images[index : index + 1])
        # Each gradient is added up as soon as it is known: all of them together take as much memory as the network.
        for name, value in values.items():
            value.register_hook(partial(_add_tensor, found, alike, name, name in whole.tensors, share))
        for node, weight, bias in zip(layers, weights, biases, strict=True):
            add = partial(_add_weight, found, node, means[node.inputs[0]], whole, share)
            _call_with_both_gradients(weight, bias, add)
        logits = values[graph.output]
        for probe in range(probes):
            sign = torch.randint(0, 2, logits.shape, generator=signs).float() * 2 - 1
            with torch.enable_grad():
                total = (logits * sign).sum()  # a scalar: given a tensor's own gradient, torch imports sympy
            total.backward(retain_graph=probe + 1 < probes)
        progress("measuring sensitivity", index + 1, len(images))
    for name, energy in alike.items():
        single = found.tensors[name]
        apart = np.trace(single) if single.ndim == 2 else single.sum()
        found.coherence[name] = min(energy / float(apart), 1.0) if apart > 0 else 0.0
    return found


def _run_with_gradients(
    graph: Graph, image: NDArray[np.uint8]
) -> tuple[dict[str, Tensor], list[Tensor], list[Tensor]]:
    """Run one photo with gradients enabled.

    Return all tensors by name, and the weights and the biases in graph order.
    """
    values = {graph.input: decode_pixels(graph, image).requires_grad_(True)}
    weights, biases = [], []
    with torch.enable_grad():
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            operator = node.operator
            if isinstance(operator, WEIGHTED):
                weights.append(tensor_of(operator.weight).requires_grad_(True))
                biases.append(tensor_of(operator.bias).requires_grad_(True))
                values[node.output] = _weighted(operator, inputs[0], weights[-1], biases[-1])
            else:
                values[node.output] = apply(operator, inputs)
    return values, weights, biases


def _weighted(operator: Weighted, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if isinstance(operator, FullyConnected):
        sums = functional.linear(x, weight, bias)
    else:
        sums = convolve(operator, x, weight, bias)
    low, high = operator.activation.bounds
    if math.isinf(low) and math.isinf(high):
        return sums
    return functional.hardtanh(sums, low, high)  # the gradient of `clamp` takes several times as long


def _call_with_both_gradients(
    weight: Tensor, bias: Tensor, function: Callable[[Tensor, Tensor], None]
) -> None:
    """Call a function with the gradients of a layer's weight and bias, and forget them, after each backward pass."""
    known: dict[str, Tensor] = {}

    def arrived(name: str, tensor: Tensor) -> None:
        assert tensor.grad is not None
        known[name], tensor.grad = tensor.grad, None
        if len(known) == 2:
            function(known.pop("weight"), known.pop("bias"))

    weight.register_post_accumulate_grad_hook(partial(arrived, "weight"))
    bias.register_post_accumulate_grad_hook(partial(arrived, "bias"))


def _add_tensor(
    found: Sensitivity, alike: dict[str, float], name: str, whole: bool, share: float, gradient: Tensor
) -> None:
    places = gradient.reshape(-1, gradient.shape[-1])
    _add(found.tensors, name, places, whole, share)
    alike[name] = alike.get(name, 0.0) + float(places.sum(0).square().sum()) / len(places) * share


def _add_weight(
    found: Sensitivity,
    node: Node,
    mean: Tensor,
    whole: FullMatrixNames,
    share: float,
    gradient: Tensor,
    of_bias: Tensor,
) -> None:
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    _centre(operator, gradient, of_bias, mean)
    axis = output_axis(operator)
    outputs = gradient.movedim(axis, 0).reshape(gradient.shape[axis], -1)
    _add(found.rows, node.name, outputs.T, node.name in whole.rows, share)
    if axis == 0:
        inputs = gradient.reshape(-1, gradient.shape[-1])
        _add(found.columns, node.name, inputs, node.name in whole.columns, share)


LARGEST_PART = 2**22
"""Number of values for which a temporary array is made at once."""


def _centre(operator: Weighted, gradient: Tensor, of_bias: Tensor, mean: Tensor) -> None:
    """Take the part that the bias can undo out of a weight's gradient."""
    if isinstance(operator, DepthwiseConv2D):
        gradient -= of_bias * mean.repeat_interleave(len(of_bias) // len(mean))
    elif (
        getattr(operator, "groups", 1) == 1
    ):  # else each output reads other inputs, and there is no common mean
        count = max(1, LARGEST_PART // gradient[0].numel())
        for part, bias in zip(gradient.split(count), of_bias.split(count), strict=True):
            part -= bias.reshape(-1, *(1,) * (gradient.ndim - 1)) * mean


def _add(into: dict[str, Array], name: str, gradients: Tensor, whole: bool, share: float) -> None:
    """Add the second moments of gradients [rows, C], or only their diagonal, times `share`."""
    if whole:
        moments = gradients.T @ gradients
    else:
        count = max(1, LARGEST_PART // len(gradients))
        moments = torch.cat([(part * part).sum(0) for part in gradients.split(count, dim=1)])
    added = moments.double().numpy() * share
    into[name] = into[name] + added if name in into else added


Real = TypeVar("Real", torch.Tensor, NDArray[np.float64])
ACTIVATION_STEPS = 255
"""The steps of an activation's range, from the lowest to the highest int8 value."""
WEIGHT_STEPS = 127
"""The steps from zero to the largest weight of a channel."""


def activation_noise(span: Real, sensitivity: Real) -> Real:
    """Return the noise energy at the logits from rounding a tensor.

    Args:
        span: the range of real values that the tensor's 255 steps cover.
        sensitivity: the sensitivity of the logits to the tensor, summed over the channels that share the
            span.
    """
    return (span / ACTIVATION_STEPS) ** 2 / 12 * sensitivity


def weight_noise(largest: Real, rows: Real, input_gain: Real) -> Real:
    """Return the noise energy at the logits from rounding a layer's weights.

    Args:
        largest: largest weight magnitude of each output channel [O]; it becomes step 127.
        rows: the layer's sensitivity by output channel [O].
        input_gain: how much more the weights matter than when `rows` was measured, because their inputs were
            scaled: a mean over input channels, weighted by their sensitivity.
    """
    return ((largest / WEIGHT_STEPS) ** 2 / 12 * rows).sum() * input_gain


MOMENTUM, SQUARES = 0.9, 0.999
SMALLEST = 1e-30


def descend(
    slope: Callable[[Tensor], tuple[float, Tensor]], start: Tensor, steps: int, rate: float
) -> Tensor:
    """Return where Adam (arXiv 1412.6980) gets from `start`, on the logarithm of the noise.

    Torch's own optimizers take seconds to import, and only a few numbers reshape a network.

    Args:
        slope: returns the noise at a point, and its gradient.
        start: the first point.
        steps: number of steps.
        rate: the first learning rate, which falls to zero along half a cosine.
    """
    point = start.clone()
    mean, square = torch.zeros_like(point), torch.zeros_like(point)
    for step in range(steps):
        noise, gradient = slope(point)
        gradient = gradient / (noise + SMALLEST)
        mean.lerp_(gradient, 1 - MOMENTUM)
        square.mul_(SQUARES).addcmul_(gradient, gradient, value=1 - SQUARES)
        size = (square / (1 - SQUARES ** (step + 1))).sqrt_().add_(1e-8)
        now = rate * (1 + math.cos(math.pi * step / steps)) / 2
        point.addcdiv_(mean, size, value=-now / (1 - MOMENTUM ** (step + 1)))
    return point
