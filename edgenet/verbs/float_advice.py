"""Which layers `inspect` would keep in float: those that take away what stands out of a file's noise."""

from __future__ import annotations

from collections.abc import Collection

from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.mixed import float_layers, layers_around, weighted_layers
from edgenet.quantize.noise_shares import LayerShare, NoiseShares
from edgenet.verbs.float_search import MOST_LAYERS, MOST_MULT_ADDS, layer_costs
from edgenet.verbs.mixed import AUTO

ALONE = 0.15
"""The share from which one layer is worth naming."""


def worth_float(noise: NoiseShares, quantized: QuantizedGraph) -> str:
    """What to give to --keep-float: names of layers beside those that are float already, or "auto".

    Noise of weights goes when their layer is float; noise of a tensor only when all that read it are float too, which
    "auto" does not try: it weighs layers one by one.

    Returns:
        "" where the noise is spread, or where it takes more layers or mult-adds in float than "auto" would keep;
        "auto" also where only trying tells whether the noise is spread.
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
