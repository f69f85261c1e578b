"""Which layers are worth keeping in float: what each gains by itself, and a few that together gain enough.

What a layer gains is measured, by running the file that keeps it in float: the error of int8 is not the sum of what its
layers do. In most networks it is spread so evenly that no layer by itself gains much, and the best of fifty on a few
photos is the best by chance; so a layer is only taken if it gains on other photos too.
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
"""SQNR of the logits at which nothing (more) is kept in float. V2 agrees with float on 96.5 % of the photos at 22.4 dB,
V1 on 98.5 % at 26.6 dB."""
LEAST_GAIN_DB = 0.3
"""Less is hardly worth a layer, and may be chance."""
MOST_LAYERS = 4
MOST_MULT_ADDS = 0.1
"""Share of the network's that may be float."""
CONVERSIONS = 0.01
"""What a float layer costs beside its own work, as a share of the network: the conversions around it."""
ADDED_BYTES = 3
"""A weight has one byte in int8 and four in float32."""
THREADS = 2


@dataclass(frozen=True, eq=False)
class Judge:
    """Photos [n, H, W, 3], uint8 RGB, and the float network's logits for them, float32 [n, N]."""

    images: NDArray[np.uint8]
    real: NDArray[np.float32]

    def logits(self, quantized: QuantizedGraph) -> NDArray[np.float32]:
        """What LiteRT gives for a network that is int8, wholly or in part: float32 [n, N]."""
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
        """Signal to quantization noise of the logits, dB."""
        return self.sqnr_of(self.logits(quantized))

    def sqnr_of(self, logits: NDArray[np.float32]) -> float:
        """The same of logits that are known."""
        signal, noise = (np.square(v, dtype=np.float64).sum() for v in (self.real, self.real - logits))
        return sqnr_db(float(signal), float(noise))


@dataclass(frozen=True)
class Search:
    """What was found.

    Attributes:
        layers: those to keep, in the order in which they were taken.
        reason: why these and no more.
    """

    layers: tuple[str, ...]
    reason: str


def single_gains(
    quantized: QuantizedGraph, layers: Sequence[str], judge: Judge, progress: Progress
) -> dict[str, float]:
    """dB that each layer gains when it alone is float."""
    before = judge.sqnr(quantized)
    gains = {}
    for number, layer in enumerate(layers):
        gains[layer] = judge.sqnr(keep_float(quantized, [layer])) - before
        progress("measuring layers in float", number + 1, len(layers))
    return gains


def search(quantized: QuantizedGraph, ranking: Judge, confirming: Judge, progress: Progress) -> Search:
    """Takes layers, the largest gain for its cost first, that each raise the SQNR beside those taken already.

    It stops at ENOUGH_DB, at MOST_LAYERS, or when no other gains LEAST_GAIN_DB within MOST_MULT_ADDS.

    Args:
        ranking: photos to rank layers by.
        confirming: other photos, on which a layer must gain too.
    """
    sqnr = confirming.sqnr(quantized)
    if sqnr >= ENOUGH_DB:
        return Search((), f"int8 is good as it is: {sqnr:.1f} dB, and {ENOUGH_DB:g} dB are enough")
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
        return f"{ENOUGH_DB:g} dB are reached"
    if len(taken) == MOST_LAYERS:
        return f"it takes no more than {MOST_LAYERS} layers"
    layer = "no other layer" if taken else "no layer by itself"
    return (
        f"{layer} gains {LEAST_GAIN_DB:g} dB within {MOST_MULT_ADDS:.0%} of the mult-adds: the loss is spread"
    )


@dataclass(frozen=True)
class LayerCost:
    """What a layer in float costs: bytes of weights more, and the share of the network's mult-adds that it has.

    Attributes:
        relative: one figure to weigh gains with, a share of the network's size and work.
    """

    added_bytes: int
    mult_adds: float
    relative: float


def layer_costs(quantized: QuantizedGraph) -> dict[str, LayerCost]:
    """The cost of every weighted layer."""
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
