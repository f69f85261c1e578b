"""Quantize with those steps only that win on photos which the steps have not seen.

Every step helps some networks and harms others: rotated and equalized, MobileNetV2 gains 8 decibels on photos of
another source, while equalization takes 2 from EfficientNet-Lite0, which was designed for int8. So some of the
calibration photos are held out of all steps and judge them at the logits, by `LogitErrors.cost`:

1. The original network, the rotated one, and the one that is also equalized are quantized quickly (weights rounded to
   nearest, biases corrected). The best of them goes on.
2. The best one is quantized thoroughly. It is kept if it is better than the quick one, and better than plain minmax.

`compensation` judges every layer by itself as well, on photos that its regression has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgenet.data.loading import evenly
from edgenet.graph.executor import run
from edgenet.graph.ir import WEIGHTED, Graph
from edgenet.progress import Progress, silent
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.channels import double_channels, drop_dead_channels
from edgenet.quantize.equalize import equalize
from edgenet.quantize.integer import real_logits
from edgenet.quantize.logit_errors import confidence, logit_errors
from edgenet.quantize.photo_variants import variants
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph, keep_float
from edgenet.quantize.ranges import (
    ChannelStatistics,
    Range,
    add_headroom,
    add_logit_room,
    channel_statistics,
    encode_tensors,
    observe_ranges,
    ranges_of,
)
from edgenet.quantize.rotate import JointStatistics, mixable, rotate
from edgenet.quantize.rounding import LARGEST_BLOCK, quantize_weights
from edgenet.quantize.sensitivity import Sensitivity, logit_sensitivity

Photos = NDArray[np.uint8]

# The steps in the words in which the manifest records them.
MINMAX = "activation ranges: smallest and largest value of the calibration photos"
ROOM = "activation ranges: room for higher logits than the photos show"
DEAD = "dead channels cut out where the network stays the same"
ROTATE = "linear tensors rotated to axes of least rounding noise at the logits, shifts absorbed into biases"
EQUALIZE = "cross-layer equalization through ReLU6, each channel's factor chosen by the logits' sensitivity"
DOUBLE = "noisiest channels doubled, half a step apart (outlier channel splitting), for 20 % more mult-adds"
WIDENED = "activation ranges: widened where the errors of a whole feature map add up at the logits"
COMPENSATE = (
    "weights make up for the errors of their layer's input, by ridge regression cross-validated on photos"
)
SCALES = "weights: per channel, scale of least squared error"
GPTQ = f"rounding: by the second moments of each layer's input (GPTQ), at most {LARGEST_BLOCK} inputs at once"
BIAS = "bias correction layer by layer on quantized inputs, matching the mean after the activation"
LARGEST = "weights: per channel, largest value"
NEAREST = "rounding: to nearest"


@dataclass(frozen=True)
class Effort:
    """The photos and the work that a recipe spends. Ranges are always observed on all photos.

    Attributes:
        sensitivity_photos: number of photos on which the logits' sensitivity is measured.
        statistics_photos: the largest number of photos by which axes and factors are chosen.
        layer_photos: the largest number of photos with which layers are quantized thoroughly; None for a quick recipe,
            which only rounds to nearest and corrects biases.
        axes_steps: gradient descent steps for the axes of each group of linear tensors.
        factor_steps: gradient descent steps for the channels' factors in each group of other tensors.
        copies_budget: share of the network's mult-adds that copies of noisy channels may cost.
    """

    sensitivity_photos: int
    statistics_photos: int
    layer_photos: int | None
    axes_steps: int
    factor_steps: int
    copies_budget: float = 0.0


JUDGES = 16
"""The largest number of photos that judge."""
JUDGING_SHARE = 4
"""One photo in so many judges, up to JUDGES."""
QUICK_PHOTOS, QUICK_ROWS = 12, 3_000
"""The largest numbers of photos and of positions with which layers are quantized quickly."""


@dataclass(frozen=True)
class _Photos:
    """The calibration photos: those that steps may see, and those that judge the steps."""

    fitting: Photos
    judging: Photos

    @staticmethod
    def split(images: Photos) -> _Photos:
        """Hold every fourth photo out, up to JUDGES; of fewer than four photos, variants judge."""
        count = min(JUDGES, len(images) // JUDGING_SHARE)
        if not count:
            return _Photos(images, variants(images))
        aside = evenly(len(images), count)
        return _Photos(np.delete(images, aside, axis=0), images[aside])

    def some(self, count: int) -> Photos:
        """Return at most `count` of the photos that steps may see, evenly spread."""
        return self.fitting[evenly(len(self.fitting), count)]


@dataclass(frozen=True)
class _Shape:
    """A float graph of the network's function, the sensitivity of its logits, and what was done to reshape it."""

    graph: Graph
    sensitivity: Sensitivity
    ranges: dict[str, Range]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class _Work:
    """What all steps share: the photos, what the recipe spends, and who is told of the progress.

    Attributes:
        real: the float network's logits of the judging photos.
    """

    photos: _Photos
    effort: Effort
    progress: Progress
    real: NDArray[np.float32]

    def judge(self, quantized: QuantizedGraph) -> float:
        """Return the cost of a quantized network on the held-out photos; infinite if it is not a number."""
        self.progress("judging on held-out photos", 0, None)
        cost = logit_errors(real_logits(quantized, self.photos.judging), self.real).cost
        return math.inf if math.isnan(cost) else cost

    def encodings(self, shape: _Shape, ranges: dict[str, Range]) -> dict[str, Encoding]:
        """Return the encodings of observed ranges, with all room that they need."""
        wider = add_headroom(shape.graph, ranges, shape.sensitivity.coherence)
        return encode_tensors(shape.graph, add_logit_room(shape.graph, wider, confidence(self.real)))


def quantize_earning(graph: Graph, images: Photos, effort: Effort, progress: Progress) -> QuantizedGraph:
    """Quantize a graph; `QuantizedGraph.steps` names the steps that were kept.

    Args:
        graph: a lowered float graph.
        images: the calibration photos, uint8 RGB [n, H, W, 3].
        effort: what to spend.
        progress: called with each stage.

    Raises:
        EdgenetError: a tensor holds NaN or infinity on the photos.
    """
    photos = _Photos.split(images)
    work = _Work(photos, effort, progress, run(graph, photos.judging))
    shapes = list(_shapes(graph, work))
    quick = [_Judged.of(_quick(shape, work), work) for shape in shapes]
    best = min(range(len(quick)), key=lambda place: quick[place].cost)
    made = [quick[best], _Judged.of(_with_largest_scales(shapes[0], work), work)]
    if effort.layer_photos is not None:
        made += [_Judged.of(one, work) for one in _thorough(shapes[best], images, work)]
    return min(made, key=lambda one: one.cost).quantized


@dataclass(frozen=True, eq=False)
class _Judged:
    quantized: QuantizedGraph
    cost: float

    @staticmethod
    def of(quantized: QuantizedGraph, work: _Work) -> _Judged:
        return _Judged(quantized, work.judge(quantized))


def _shapes(graph: Graph, work: _Work) -> Iterator[_Shape]:
    """Yield the original network without its dead channels; the rotated one; and the one that is also equalized."""
    plain = drop_dead_channels(graph)
    seen = observe(plain, work.photos.fitting, work.effort, work.progress)
    yield _Shape(plain, seen.sensitivity, ranges_of(plain, seen.statistics), (DEAD,))
    few = work.photos.some(RANGE_PHOTOS)
    few = np.concatenate([few, variants(few[::VARIANTS_EVERY])])
    shape, sensitivity, steps = plain, seen.sensitivity, [DEAD]
    if seen.joint.tensors:
        shape, sensitivity = rotate(plain, seen.statistics, seen.joint, sensitivity, work.effort.axes_steps)
        steps.append(ROTATE)
        yield _Shape(shape, sensitivity, observe_ranges(shape, few, work.progress), tuple(steps))
    shape = equalize(shape, seen.statistics, sensitivity, work.effort.factor_steps)
    yield _Shape(shape, sensitivity, observe_ranges(shape, few, work.progress), (*steps, EQUALIZE))


@dataclass(frozen=True, eq=False)
class Observed:
    """What some photos show about a graph: statistics of its tensors, and the sensitivity of its logits."""

    statistics: dict[str, ChannelStatistics]
    joint: JointStatistics
    sensitivity: Sensitivity


VARIANTS_EVERY = 4
"""A variant of every fourth photo is observed too."""


def observe(graph: Graph, images: Photos, effort: Effort, progress: Progress = silent) -> Observed:
    """Return what photos and some variants of them show.

    Raises:
        EdgenetError: a tensor holds NaN or infinity on them.
    """
    mixed = mixable(graph)
    joint = JointStatistics(mixed.tensors)
    some = images[evenly(len(images), effort.statistics_photos)]
    together = np.concatenate([some, variants(some[::VARIANTS_EVERY])])
    statistics = channel_statistics(graph, together, progress, joint.observe)
    ranges_of(graph, statistics)  # raises on values that are not finite, before they get into matrices
    few = images[evenly(len(images), effort.sensitivity_photos)]
    return Observed(statistics, joint, logit_sensitivity(graph, few, statistics, mixed, progress))


RANGE_PHOTOS = 32
"""About the number of photos that give the ranges of a reshaped network, as long as it is only tried."""


def _quick(shape: _Shape, work: _Work) -> QuantizedGraph:
    """Round to nearest and correct the biases."""
    encodings = work.encodings(shape, shape.ranges)
    options = LayerOptions(second_moments=False, compensate=False, rows=QUICK_ROWS)
    few = work.photos.some(QUICK_PHOTOS)
    quantized = quantize_layers(shape.graph, encodings, few, options, work.progress)
    return replace(quantized, steps=(*shape.steps, MINMAX, WIDENED, ROOM, SCALES, NEAREST, BIAS))


def _with_largest_scales(shape: _Shape, work: _Work) -> QuantizedGraph:
    """Quantize as `minmax` does, with room for the logits."""
    ranges = add_logit_room(shape.graph, shape.ranges, confidence(work.real))
    quantized = round_to_ranges(shape.graph, ranges)
    return replace(quantized, steps=(*shape.steps, MINMAX, ROOM, LARGEST, NEAREST))


def round_to_ranges(graph: Graph, ranges: dict[str, Range]) -> QuantizedGraph:
    """Return the graph with these ranges, and with weights that are rounded to nearest by their largest value."""
    encodings = encode_tensors(graph, ranges)
    weights = {
        node.name: quantize_weights(node.operator, encodings[node.inputs[0]].scale)
        for node in graph.nodes
        if isinstance(node.operator, WEIGHTED)
    }
    return keep_float(QuantizedGraph(graph, encodings, weights), ())


def _thorough(shape: _Shape, images: Photos, work: _Work) -> Iterator[QuantizedGraph]:
    """Yield the network with compensated weights that are rounded by second moments, then also with copies."""
    assert work.effort.layer_photos is not None
    some = work.photos.some(work.effort.layer_photos)
    encodings = work.encodings(shape, observe_ranges(shape.graph, images, work.progress))
    steps = (*shape.steps, MINMAX, WIDENED, ROOM, COMPENSATE, SCALES, GPTQ, BIAS)
    quantized = quantize_layers(shape.graph, encodings, some, LayerOptions(), work.progress)
    yield replace(quantized, steps=steps)
    if work.effort.copies_budget:
        doubled = _doubled(shape, encodings, work)
        encodings = work.encodings(doubled, observe_ranges(doubled.graph, images, work.progress))
        quantized = quantize_layers(doubled.graph, encodings, some, LayerOptions(), work.progress)
        yield replace(quantized, steps=(*shape.steps, DOUBLE, *steps[len(shape.steps) :]))


def _doubled(shape: _Shape, encodings: dict[str, Encoding], work: _Work) -> _Shape:
    few = work.photos.some(work.effort.sensitivity_photos)
    statistics = channel_statistics(shape.graph, few, work.progress)
    sensitivity = logit_sensitivity(shape.graph, few, statistics, progress=work.progress)
    graph = double_channels(shape.graph, encodings, sensitivity, work.effort.copies_budget)
    return replace(shape, graph=graph, sensitivity=sensitivity)
