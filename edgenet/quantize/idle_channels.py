"""Put copies of noisy channels in the place of channels that can hardly change.

`channels.drop_dead_channels` removes whole tiles only, because kernels take as long for 25 channels as for 32. What it
leaves is free room for copies, which lower the noise as those of `channels.double_channels` do, but cost no time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import WEIGHTED, Conv2D, Graph, with_constants
from edgenet.quantize.channels import (
    DepthwiseChain,
    Vector,
    channel_bounds,
    depthwise_chains,
    noise_saved,
    rounding_noise,
    with_copies,
    with_nodes,
)
from edgenet.quantize.quantized_graph import Encoding
from edgenet.quantize.ranges import ChannelStatistics
from edgenet.quantize.sensitivity import Sensitivity

HARMLESS = 1e-4
"""Of the logits' energy: what the channels that make way for copies may contribute together, to first order, whatever
the picture shows. This is 40 dB below the logits, while the error of int8 is 23 to 28 dB below them."""
WORTHWHILE = 0.01
"""Of the noise that rounding the tensors of all chains makes: copies that save less are not made."""


def reuse_idle_channels(
    graph: Graph,
    encodings: Mapping[str, Encoding],
    sensitivity: Sensitivity,
    statistics: Mapping[str, ChannelStatistics],
    original: Mapping[str, ChannelStatistics],
    energy: float,
) -> Graph:
    """Return a graph of nearly the same function and of the same shapes, with copies in the place of idle channels.

    `drop_dead_channels` removes whole tiles only, so up to TILE - 1 dead channels of a layer stay, and others can
    hardly change: the bounds of 6 of the 32 channels in the first layers of torchvision's MobileNetV2 lie close
    together. Their places are free for copies of the noisiest channels, which then cost no time. An idle channel is
    replaced by its mean.

    Args:
        graph: a lowered float graph.
        encodings: the encodings of the graph's tensors; they fit the result too.
        sensitivity: the sensitivity of the logits to the graph's tensors.
        statistics: of the tensors of the graph's depthwise chains, on the calibration photos.
        original: the same before the channels were scaled.
        energy: the mean energy of a photo's logits.
    """
    chains = [
        chain for chain in depthwise_chains(graph) if not any(getattr(chain.reader.operator, "pads", ()))
    ]
    if not chains:
        return graph
    idle = _idle_channels(graph, chains, sensitivity, HARMLESS * energy)
    idle = [
        channels[_still(original[chain.maker.output], channels)]
        for chain, channels in zip(chains, idle, strict=True)
    ]
    noise = sum(
        float(rounding_noise(name, encodings, sensitivity).sum())
        for chain in chains
        for name in (chain.maker.output, chain.depthwise.output)
    )
    for chain, channels in zip(chains, idle, strict=True):
        saved = noise_saved(chain, encodings, sensitivity)
        saved[channels] = 0
        noisiest = np.argsort(-saved, kind="stable")[: len(channels)]
        if saved[noisiest].sum() > WORTHWHILE * noise:
            means = statistics[chain.depthwise.output].mean
            graph = _with_copies_in(graph, chain, noisiest, channels, encodings, means)
    return graph


def _idle_channels(
    graph: Graph, chains: list[DepthwiseChain], sensitivity: Sensitivity, allowed: float
) -> list[NDArray[np.int64]]:
    """Return the idle channels of each chain, at most half of them.

    Their largest possible changes cost at most `allowed` at the logits, all chains together.
    """
    bounds = channel_bounds(graph)
    costs = []
    for chain in chains:
        low, high = bounds[chain.depthwise.output]
        with np.errstate(invalid="ignore"):  # 0 * inf: nothing is known of a channel without bounds
            cost = sensitivity.tensors[chain.depthwise.output] * np.square(high - low)
        costs.append(np.nan_to_num(cost, nan=np.inf, posinf=np.inf))
    ordered = np.sort(np.concatenate(costs))
    affordable = int((np.cumsum(ordered) <= allowed).sum())
    limit = ordered[affordable] if affordable < len(ordered) else np.inf
    return [np.flatnonzero(cost < limit)[: len(cost) // 2] for cost in costs]


STILL = 0.01
"""A channel is still if it reaches less far than this share of the tensor's widest channel: 2.5 int8 steps."""


def _still(seen: ChannelStatistics, channels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the channels are still before the depthwise layer too.

    Of the others, a comparison with the float network, tensor by tensor, could not tell copies from errors.
    """
    spans = seen.high - seen.low
    return spans[channels] <= STILL * spans.max()


def _with_copies_in(
    graph: Graph,
    chain: DepthwiseChain,
    channels: NDArray[np.int64],
    places: NDArray[np.int64],
    encodings: Mapping[str, Encoding],
    means: Vector,
) -> Graph:
    """Put copies of the channels into these places; the reader's bias takes in what was there, as its mean."""
    count = len(means)
    twice = with_copies(graph, chain, channels, encodings)
    order = np.arange(count)
    order[places] = count + np.arange(len(places))
    changed = {}
    for name, axis in ((chain.maker.name, 0), (chain.depthwise.name, 3)):
        operator = twice.node(name).operator
        assert isinstance(operator, WEIGHTED)
        changed[name] = with_constants(
            twice.node(name), operator.weight.take(order, axis), operator.bias[order]
        )
    reader = twice.node(chain.reader.name)
    operator = reader.operator
    assert isinstance(operator, Conv2D)
    constant = np.float64(operator.weight[..., places]) * means[places]
    bias = operator.bias + constant.reshape(len(operator.bias), -1).sum(1)
    changed[reader.name] = with_constants(reader, operator.weight.take(order, -1), bias)
    return with_nodes(twice, changed)
