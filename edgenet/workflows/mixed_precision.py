"""Mixed precision for `convert`: as a last resort, keeps some layers in float and measures the effect.

The gain of each layer is measured by running a file that keeps the layer in float, because the error of int8 is not
the sum of its layers' errors. In most networks the error is spread so evenly that no single layer gains much, and the
best of fifty layers on a few photos is the best only by chance. "auto" therefore takes a layer only if it also gains on
other photos.
"""

from __future__ import annotations

import difflib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from edgenet_device.latency.samples import fill_input
from edgenet_device.runtime import load_runtime
from numpy.typing import NDArray

from edgenet.data.loading import evenly
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import WEIGHTED, Graph
from edgenet.graph.shapes import node_mult_adds
from edgenet.progress import Progress, silent
from edgenet.quantize.quantization_errors import sqnr_db
from edgenet.quantize.quantized_graph import (
    QuantizedGraph,
    dequantize_array,
    float_layers,
    keep_float,
    weighted_layers,
)
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import int8_program, raw_program

AUTO = "auto"
RANKING, CONFIRMING = 16, 32
"""Number of photos that rank the layers, and number of other photos that must confirm a layer's gain."""
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
BLOCKS, RUNS, WARM_UP = 15, 10, 20
"""How two files are timed in turns: pairs of blocks, inferences per block, and inferences before both."""


@dataclass(frozen=True)
class KeptLayer:
    """A layer that is kept in float.

    Attributes:
        gain_db: how much the logits' SQNR rises when this layer alone is float, dB.
        added_bytes: how much larger its weights are in float, bytes.
        mult_adds_percent: its share of the network's mult-adds, percent.
    """

    name: str
    gain_db: float
    added_bytes: int
    mult_adds_percent: float


@dataclass(frozen=True)
class MixedPrecision:
    """The gains and costs of keeping layers in float.

    "Before" is the file that is int8 throughout, "after" the file with the layers in float.

    Attributes:
        layers: the layers kept, in the order of the network; empty if keeping layers would not help.
        reason: why these layers and no more, in words; empty if the user named them.
        photos: number of photos that the gains and the next four figures were measured on.
        sqnr_before_db, sqnr_after_db: SQNR of the logits against the float network's, dB.
        agreement_before, agreement_after: percent of the photos with the same best class as the float
            network.
        added_bytes: how much larger the file is after, bytes.
        latency_ratio: latency after over latency before, on this machine with one thread; None if no layer is
            kept.
    """

    layers: tuple[KeptLayer, ...]
    reason: str
    photos: int
    sqnr_before_db: float
    sqnr_after_db: float
    agreement_before: float
    agreement_after: float
    added_bytes: int
    latency_ratio: float | None

    @property
    def steps(self) -> tuple[str, ...]:
        """The step that the manifest lists after the recipe's own steps; empty if no layer is kept."""
        return (f"kept in float: {', '.join(layer.name for layer in self.layers)}",) if self.layers else ()


def named_layers(graph: Graph, keep: str) -> tuple[str, ...]:
    """Return the layers that `--keep-float` names, in the order of the network; empty for "auto".

    Args:
        graph: the network.
        keep: "auto", or a comma-separated list of names of layers with weights, or patterns with * and ?.

    Raises:
        EdgenetError: a name matches no layer, there are no names, or the names match all layers.
    """
    if keep.strip() == AUTO:
        return ()
    layers = weighted_layers(graph)
    patterns = [pattern for part in keep.split(",") if (pattern := part.strip())]
    if not patterns:
        raise EdgenetError(
            "--keep-float names no layer", "give layer names as edgenet inspect shows them, or auto"
        )
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise EdgenetError(f"no layer with weights is called '{pattern}'", _nearest(pattern, layers))
    named = tuple(layer for layer in layers if any(fnmatchcase(layer, pattern) for pattern in patterns))
    if len(named) == len(layers):
        raise EdgenetError(f"--keep-float names all {len(layers)} layers with weights", "use --float instead")
    return named


def _nearest(pattern: str, layers: Sequence[str]) -> str:
    close = difflib.get_close_matches(pattern, layers, n=3, cutoff=0.4) or layers[-1:]
    return f"similar names are {', '.join(close)}; edgenet inspect shows all"


def keep_layers_float(
    quantized: QuantizedGraph,
    reference: Graph,
    images: NDArray[np.uint8],
    judge: FloatReference,
    keep: str,
    progress: Progress = silent,
) -> tuple[QuantizedGraph, MixedPrecision]:
    """Keep the named layers in float, or for "auto" those that are worth it.

    Args:
        quantized: the result of any recipe.
        reference: the float network.
        images: photos to choose layers on, uint8 RGB [n, H, W, 3]; at most RANKING + CONFIRMING of them are
            used.
        judge: photos to measure the gains on; other photos than `images`, if there are any.
        keep: see `named_layers`.

    Returns:
        The mixed graph, and its gains and costs.
    """
    named = named_layers(quantized.graph, keep)
    search = (
        Search(named, "") if named else search_float_layers(quantized, *_judges(reference, images), progress)
    )
    gains = single_gains(quantized, search.layers, judge, progress)
    mixed = keep_float(quantized, search.layers)
    return mixed, _report(quantized, mixed, gains, judge, search.reason)


def _judges(reference: Graph, images: NDArray[np.uint8]) -> tuple[FloatReference, FloatReference]:
    """Return a judge with the ranking photos and one with confirming photos (the same if there are no others)."""
    ranking = evenly(len(images), RANKING)
    others = np.delete(np.arange(len(images)), ranking)
    confirming = others[evenly(len(others), CONFIRMING)] if len(others) else ranking
    ranked, confirmed = (
        FloatReference(images[part], run(reference, images[part])) for part in (ranking, confirming)
    )
    return ranked, confirmed


def _report(
    quantized: QuantizedGraph,
    mixed: QuantizedGraph,
    gains: dict[str, float],
    judge: FloatReference,
    reason: str,
) -> MixedPrecision:
    costs = layer_costs(quantized)
    kept = [
        KeptLayer(name, gains[name], costs[name].added_bytes, 100 * costs[name].mult_adds)
        for name in float_layers(mixed)
    ]
    before = judge.logits(quantized)
    after = judge.logits(mixed) if kept else before
    files = [write_tflite(int8_program(network)) for network in (quantized, mixed)]
    return MixedPrecision(
        layers=tuple(kept),
        reason=reason,
        photos=len(judge.images),
        sqnr_before_db=judge.sqnr_of(before),
        sqnr_after_db=judge.sqnr_of(after),
        agreement_before=_agreement(judge, before),
        agreement_after=_agreement(judge, after),
        added_bytes=len(files[1]) - len(files[0]),
        latency_ratio=_latency(files[1], files[0]) if kept else None,
    )


def _agreement(judge: FloatReference, logits: NDArray[np.float32]) -> float:
    return 100 * float((judge.real.argmax(axis=1) == logits.argmax(axis=1)).mean())


def _latency(first: bytes, second: bytes) -> float:
    runners = [load_runtime().interpreter(model_content=data, num_threads=1) for data in (first, second)]
    for runner in runners:
        runner.allocate_tensors()
        fill_input(runner)
    return latency_ratio(runners[0].invoke, runners[1].invoke, BLOCKS, RUNS).ratio


@dataclass(frozen=True, eq=False)
class FloatReference:
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
        rows = []
        for image in self.images:
            runner.set_tensor(source, (image[None].astype(np.int16) - 128).astype(np.int8))
            runner.invoke()
            rows.append(runner.get_tensor(target)[0].copy())
        given = np.stack(rows)
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
    """The result of `search_float_layers`.

    Attributes:
        layers: names of the layers to keep in float, in the order in which they were taken.
        reason: why these layers and no more, in words.
    """

    layers: tuple[str, ...]
    reason: str


def single_gains(
    quantized: QuantizedGraph, layers: Sequence[str], judge: FloatReference, progress: Progress
) -> dict[str, float]:
    """Return how much the logits' SQNR rises, in dB, when each layer alone is float."""
    before = judge.sqnr(quantized)
    gains = {}
    for number, layer in enumerate(layers):
        gains[layer] = judge.sqnr(keep_float(quantized, [layer])) - before
        progress("measuring layers in float", number + 1, len(layers))
    return gains


def search_float_layers(
    quantized: QuantizedGraph, ranking: FloatReference, confirming: FloatReference, progress: Progress
) -> Search:
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
        raised = confirming.sqnr(keep_float(quantized, together))
        if raised >= sqnr + LEAST_GAIN_DB:
            taken, sqnr = together, raised
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


@dataclass(frozen=True)
class LatencyRatio:
    """Two networks timed in turns.

    Attributes:
        first_ms, second_ms: median over the blocks' median times, milliseconds.
        ratio: median of first / second over the pairs of blocks.
    """

    first_ms: float
    second_ms: float
    ratio: float


def latency_ratio(
    first: Callable[[], object], second: Callable[[], object], blocks: int = 20, runs: int = 20
) -> LatencyRatio:
    """Time two calls in alternating blocks, so that a slow phase of the machine affects both.

    Args:
        first, second: functions that run one inference each.
        blocks: number of pairs of blocks; the order within a pair alternates.
        runs: number of inferences per block.
    """
    calls = (first, second)
    for call in calls:
        for _ in range(WARM_UP):
            call()
    pairs = []
    for block in range(blocks):
        pair = {}
        for which in (0, 1) if block % 2 == 0 else (1, 0):
            pair[which] = statistics.median(_times_ms(calls[which], runs))
        pairs.append((pair[0], pair[1]))
    firsts, seconds = zip(*pairs, strict=True)
    ratio = statistics.median(one / other for one, other in pairs)
    return LatencyRatio(statistics.median(firsts), statistics.median(seconds), ratio)


def _times_ms(call: Callable[[], object], runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        begun = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - begun) / 1e6)
    return times
