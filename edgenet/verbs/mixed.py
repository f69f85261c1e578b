"""Mixed precision for `convert`: as a last resort, keeps some layers in float and measures the effect."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from device_scripts.runtime import load_runtime
from device_scripts.steady_state import fill_input
from edgenet.data.choose import evenly
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.progress import Progress, silent
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.mixed import float_layers, keep_float, weighted_layers
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.layout import int8_program
from edgenet.verbs.float_search import Judge, Search, layer_costs, search, single_gains
from edgenet.verbs.side_by_side import latency_ratio

AUTO = "auto"
RANKING, CONFIRMING = 16, 32
"""Number of photos that rank the layers, and number of other photos that must confirm a layer's gain."""
BLOCKS, RUNS = 15, 10


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
    judge: Judge,
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
    found = Search(named, "") if named else search(quantized, *_judges(reference, images), progress)
    gains = single_gains(quantized, found.layers, judge, progress)
    mixed = keep_float(quantized, found.layers)
    return mixed, _report(quantized, mixed, gains, judge, found.reason)


def _judges(reference: Graph, images: NDArray[np.uint8]) -> tuple[Judge, Judge]:
    """Return a judge with the ranking photos and one with confirming photos (the same if there are no others)."""
    ranking = evenly(len(images), RANKING)
    others = np.delete(np.arange(len(images)), ranking)
    confirming = others[evenly(len(others), CONFIRMING)] if len(others) else ranking
    ranked, confirmed = (Judge(images[part], run(reference, images[part])) for part in (ranking, confirming))
    return ranked, confirmed


def _report(
    quantized: QuantizedGraph, mixed: QuantizedGraph, gains: dict[str, float], judge: Judge, reason: str
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


def _agreement(judge: Judge, logits: NDArray[np.float32]) -> float:
    return 100 * float((judge.real.argmax(axis=1) == logits.argmax(axis=1)).mean())


def _latency(first: bytes, second: bytes) -> float:
    runners = [load_runtime().interpreter(model_content=data, num_threads=1) for data in (first, second)]
    for runner in runners:
        runner.allocate_tensors()
        fill_input(runner)
    return latency_ratio(runners[0].invoke, runners[1].invoke, BLOCKS, RUNS).ratio
