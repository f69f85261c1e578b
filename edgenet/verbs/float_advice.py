"""Proposes layers to keep in float for `inspect`: those that cause the largest parts of a file's noise."""

from __future__ import annotations

from collections.abc import Collection

from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.mixed import float_layers, layers_around, weighted_layers
from edgenet.quantize.noise_shares import LayerShare, NoiseShares
from edgenet.verbs.float_search import MOST_LAYERS, MOST_MULT_ADDS, layer_costs
from edgenet.verbs.mixed import AUTO

ALONE = 0.15
"""Share of the noise at or above which a single layer is named."""


def worth_float(noise: NoiseShares, quantized: QuantizedGraph) -> str:
    """Return a value for --keep-float: names of layers, including those already float, or "auto".

    The noise of weights disappears when their layer is float. The noise of a tensor disappears only when all
    layers around the tensor are float; "auto" does not find such groups, because it adds layers one by one.

    Returns:
        "" if the noise is spread over many layers, or if removing it would keep more layers or mult-adds in
        float than "auto" would; "auto" if the noise comes from the weights of several layers, or if only
        trying can show which layers it comes from.
    """
    standing_out = sorted(
        (layer for layer in noise.layers if layer.total >= ALONE), key=lambda layer: -layer.total
    )
    if noise.hidden or (len(standing_out) > 1 and all(layer.of_weights for layer in standing_out)):
        return AUTO
    already = kept = set(float_layers(quantized))
    for layer in standing_out:
        together = kept | _to_spare(layer, quantized)
        if _few(together, quantized):
            kept = together
    if kept == already:
        return ""
    return ",".join(name for name in weighted_layers(quantized.graph) if name in kept)


def _to_spare(layer: LayerShare, quantized: QuantizedGraph) -> set[str]:
    return {layer.node} if layer.of_weights else set(layers_around(quantized.graph, layer.node))


def _few(layers: Collection[str], quantized: QuantizedGraph) -> bool:
    costs = layer_costs(quantized)
    return len(layers) <= MOST_LAYERS and sum(costs[name].mult_adds for name in layers) <= MOST_MULT_ADDS
