"""Searches for the few layers that are worth keeping in float.

The gain of each layer is measured by running a file that keeps the layer in float, because the error of int8
is not the sum of its layers' errors. In most networks the error is spread so evenly that no single layer
gains much, and the best of fifty layers on a few photos is the best only by chance. A layer is therefore
taken only if it also gains on other photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device_scripts.runtime import load_runtime
from edgenet.graph.cost import node_mult_adds
from edgenet.graph.operators import WEIGHTED
from edgenet.progress import Progress
from edgenet.quantize.encodings import QuantizedGraph, dequantize_array
from edgenet.quantize.error import sqnr_db
from edgenet.quantize.mixed import keep_float, weighted_layers
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.layout import raw_program

ENOUGH_DB = 25.0
"""SQNR of the logits at which no more layers are kept in float. V2 agrees with float on 96.5 % of the photos
at 22.4 dB, V1 on 98.5 % at 26.6 dB."""
LEAST_GAIN_DB = 0.3
"""A smaller gain is hardly worth a layer, and may be chance."""
MOST_LAYERS = 4
MOST_MULT_ADDS = 0.1
"""Largest share of the network's mult-adds that may be float."""
CONVERSIONS = 0.01
"""Cost of the conversions before and after a float layer, as a share of the network's cost."""
ADDED_BYTES = 3
"""A weight has one byte in int8 and four in float32."""
THREADS = 2


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares networks with float on photos: uint8 RGB [n, H, W, 3], and float logits, float32 [n, N]."""

    images: NDArray[np.uint8]
    real: NDArray[np.float32]

    def logits(self, quantized: QuantizedGraph) -> NDArray[np.float32]:
        """Return the logits of a wholly or partly int8 network as LiteRT computes them, float32 [n, N]."""
        runner = load_runtime().interpreter(
            model_content=write_tflite(raw_program(quantized)), num_threads=THREADS
        )
        runner.allocate_tensors()
        source, target = runner.get_input_details()[0]["index"], runner.get_output_details()[0]["index"]
        found = []
        for image in self.images:
            runner.set_tensor(source, (image[None].astype(np.int16) - 128).astype(np.int8))
            runner.invoke()
            found.append(runner.get_tensor(target)[0].copy())
        given = np.stack(found)
        encoding = quantized.encodings.get(quantized.graph.output)
        return given if encoding is None else dequantize_array(given, encoding)

    def sqnr(self, quantized: QuantizedGraph) -> float:
        """Run the network and return the signal to quantization noise ratio of its logits, dB."""
        return self.sqnr_of(self.logits(quantized))

    def sqnr_of(self, logits: NDArray[np.float32]) -> float:
        """Return the signal to quantization noise ratio of logits that are already computed, dB."""
        signal, noise = (np.square(v, dtype=np.float64).sum() for v in (self.real, self.real - logits))
        return sqnr_db(float(signal), float(noise))


@dataclass(frozen=True)
class Search:
    """The result of `search`.

    Attributes:
        layers: names of the layers to keep in float, in the order in which they were taken.
        reason: why these layers and no more, in words.
    """

    layers: tuple[str, ...]
    reason: str


def single_gains(
    quantized: QuantizedGraph, layers: Sequence[str], judge: Judge, progress: Progress
) -> dict[str, float]:
    """Return how much the logits' SQNR rises, in dB, when each layer alone is float."""
    before = judge.sqnr(quantized)
    gains = {}
    for number, layer in enumerate(layers):
        gains[layer] = judge.sqnr(keep_float(quantized, [layer])) - before
        progress("measuring layers in float", number + 1, len(layers))
    return gains


def search(quantized: QuantizedGraph, ranking: Judge, confirming: Judge, progress: Progress) -> Search:
    """Choose layers to keep in float, trying first those with the largest gain for their cost.

    A layer is taken if it raises the SQNR further by LEAST_GAIN_DB on top of those already taken. The search
    stops at ENOUGH_DB, at MOST_LAYERS, or when no other layer gains LEAST_GAIN_DB within MOST_MULT_ADDS.

    Args:
        ranking: photos that decide the order in which layers are tried.
        confirming: other photos, on which a layer must gain too to be taken.
    """
    sqnr = confirming.sqnr(quantized)
    if sqnr >= ENOUGH_DB:
        return Search((), f"int8 is already good enough: {sqnr:.1f} dB, and {ENOUGH_DB:g} dB are enough")
    costs = layer_costs(quantized)
    gains = single_gains(quantized, weighted_layers(quantized.graph), ranking, progress)
    promising = [layer for layer, gain in gains.items() if gain >= LEAST_GAIN_DB]
    taken: list[str] = []
    for layer in sorted(promising, key=lambda name: gains[name] / costs[name].relative, reverse=True):
        if len(taken) == MOST_LAYERS or sqnr >= ENOUGH_DB:
            break
        together = [*taken, layer]
        if sum(costs[name].mult_adds for name in together) > MOST_MULT_ADDS:
            continue
        found = confirming.sqnr(keep_float(quantized, together))
        if found >= sqnr + LEAST_GAIN_DB:
            taken, sqnr = together, found
    return Search(tuple(taken), _reason(taken, sqnr))


def _reason(taken: Sequence[str], sqnr: float) -> str:
    if sqnr >= ENOUGH_DB:
        return f"these reach {ENOUGH_DB:g} dB, which is enough"
    if len(taken) == MOST_LAYERS:
        return f"the search keeps at most {MOST_LAYERS} layers"
    layer = "no other layer" if taken else "no layer by itself"
    return (
        f"{layer} gains {LEAST_GAIN_DB:g} dB within {MOST_MULT_ADDS:.0%} of the mult-adds: the loss is spread"
    )


@dataclass(frozen=True)
class LayerCost:
    """The cost of keeping one layer in float.

    Attributes:
        added_bytes: how much larger its weights are in float, bytes.
        mult_adds: its share of the network's mult-adds, 0 to 1.
        relative: one cost to divide the gain by: `added_bytes` over the number of weights, plus `mult_adds`,
            plus CONVERSIONS.
    """

    added_bytes: int
    mult_adds: float
    relative: float


def layer_costs(quantized: QuantizedGraph) -> dict[str, LayerCost]:
    """Return the cost of every layer with weights, by the layer's name."""
    graph = quantized.graph
    sizes = {n.name: n.operator.weight.size for n in graph.nodes if isinstance(n.operator, WEIGHTED)}
    work = {node.name: node_mult_adds(graph, node) for node in graph.nodes if node.name in sizes}
    all_weights, all_work = sum(sizes.values()), sum(work.values())
    return {
        name: LayerCost(
            added_bytes=ADDED_BYTES * size,
            mult_adds=work[name] / all_work,
            relative=ADDED_BYTES * size / all_weights + work[name] / all_work + CONVERSIONS,
        )
        for name, size in sizes.items()
    }
