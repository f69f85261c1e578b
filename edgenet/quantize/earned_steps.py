"""Quantize with those steps only that win on photos which the steps have not seen.

Every step helps some networks and harms others: rotated and equalized, MobileNetV2 gains 8 decibels on photos of
another source, while equalization takes 2 from EfficientNet-Lite0, which was designed for int8. So some of the
calibration photos are held out of all steps and judge them at the logits, by `LogitErrors.cost`:

1. The original network, the rotated one, and the one that is also equalized are quantized quickly (weights rounded to
   nearest, biases corrected). The best of them goes on; of those that are nearly equal, `_allowance` says which.
   With fewer than four photos, none of which can be held out, only the original network is tried, and quickly.
2. The best one is quantized thoroughly. It is kept if it is better than the quick one, and better than plain minmax.

`rounding.compensation` judges every layer by itself as well, on photos that its regression has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgenet.data.loading import evenly
from edgenet.graph.executor import run
from edgenet.graph.ir import WEIGHTED, Graph
from edgenet.progress import Progress, silent
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.channels import double_channels, drop_dead_channels
from edgenet.quantize.equalize import ChannelChange, equalize
from edgenet.quantize.idle_channels import reuse_idle_channels
from edgenet.quantize.integer import real_logits
from edgenet.quantize.photo_variants import variants
from edgenet.quantize.quantization_errors import confidence, logit_errors
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph, finished
from edgenet.quantize.quick_trials import KnownTensors, SampledMeans, changed_statistics, quantize_quickly
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
Logits = Callable[[QuantizedGraph, Photos], NDArray[np.float32]]
"""Gives a quantized network's logits of photos as real numbers, float32 [n, N]."""

# The steps in the words in which the manifest records them.
MINMAX = "activation ranges: smallest and largest value of the calibration photos"
ROOM = "activation ranges: room for higher logits than the photos show"
DEAD = "dead channels cut out where the network stays the same"
ROTATE = "linear tensors rotated to axes of least rounding noise at the logits, shifts absorbed into biases"
EQUALIZE = "cross-layer equalization through ReLU6, each channel's factor chosen by the logits' sensitivity"
DOUBLE = "noisiest channels doubled, half a step apart (outlier channel splitting), for 20 % more mult-adds"
REUSE = "idle channels make way for second copies of the noisiest, half a step apart, at no cost"
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
        sensitivity_probes: number of random sign vectors for each of them.
        statistics_photos: the largest number of photos by which axes and factors are chosen.
        layer_photos: the largest number of photos with which layers are quantized thoroughly; None for a quick recipe,
            which only rounds to nearest and corrects biases.
        axes_steps: gradient descent steps for the axes of each group of linear tensors.
        factor_steps: gradient descent steps for the channels' factors in each group of other tensors.
        quick_photos: the largest number of photos with which layers are quantized quickly.
        copies_budget: share of the network's mult-adds that copies of noisy channels may cost.
    """

    sensitivity_photos: int
    sensitivity_probes: int
    statistics_photos: int
    layer_photos: int | None
    axes_steps: int
    factor_steps: int
    quick_photos: int
    copies_budget: float = 0.0


JUDGES = 16
"""The largest number of photos that judge."""
JUDGING_SHARE = 4
"""One photo in so many judges, up to JUDGES."""


@dataclass(frozen=True)
class _Photos:
    """The calibration photos: those that steps may see, and those that judge the steps.

    Attributes:
        images: all photos, which are never copied as a whole.
        fitting: the indices of those that steps may see; the first of them are evenly spread over all, however many
            are taken.
        judging: the photos that judge.
    """

    images: Photos
    fitting: NDArray[np.int64]
    judging: Photos

    @staticmethod
    def split(images: Photos) -> _Photos:
        """Hold every fourth photo out, up to JUDGES; of fewer than four photos, variants judge."""
        count = min(JUDGES, len(images) // JUDGING_SHARE)
        if not count:
            return _Photos(images, np.arange(len(images)), variants(images))
        aside = evenly(len(images), count)
        others = np.delete(np.arange(len(images)), aside)
        return _Photos(images, others[_spread(len(others))], images[aside])

    @property
    def few(self) -> bool:
        """Whether none can be held out. Steps that fit a network to so few photos harm it on others, unnoticed."""
        return len(self.images) < JUDGING_SHARE

    def some(self, count: int) -> Photos:
        """Return at most `count` of the photos that steps may see, evenly spread."""
        return self.images[self.fitting[:count]]

    def ranges_of_others(self, graph: Graph, count: int, progress: Progress) -> dict[str, Range]:
        """Return the range of every tensor on the photos that `some` leaves out, and on those that judge."""
        left = self.fitting[count:]
        parts = (self.images[left[start : start + PART]] for start in range(0, len(left), PART))
        found = [observe_ranges(graph, part, progress) for part in chain([self.judging], parts)]
        return {name: reduce(Range.union, (one[name] for one in found)) for name in found[0]}


PART = 64
"""The number of photos that are copied at once."""

GOLDEN = (math.sqrt(5) - 1) / 2


def _spread(count: int) -> NDArray[np.int64]:
    """Return the indices below `count` in an order whose beginnings are all evenly spread.

    The multiples of the golden ratio, without their whole parts, fill the gaps between each other.
    """
    return np.argsort(np.argsort(np.arange(count) * GOLDEN % 1))


@dataclass(frozen=True)
class _Shape:
    """A float graph of the network's function, what is known of it, and what was done to reshape it.

    Attributes:
        ranges: the range of every tensor on the photos that steps have seen.
        means: the mean of every tensor's channels on the first of these photos, see `SampledMeans`.
        original: the statistics of every tensor of the original network on these photos.
        changes: how the tensors were changed since, by name.
    """

    graph: Graph
    sensitivity: Sensitivity
    ranges: dict[str, Range]
    means: dict[str, NDArray[np.float64]]
    original: Mapping[str, ChannelStatistics]
    changes: Mapping[str, ChannelChange]
    steps: tuple[str, ...]

    @staticmethod
    def of(graph: Graph, sensitivity: Sensitivity, known: KnownTensors, steps: Sequence[str]) -> _Shape:
        """Return the shape with what it needs of the known tensors, which take much more memory."""
        ranges, means, changes = known.ranges(graph), known.means(), dict(known.changes)
        return _Shape(graph, sensitivity, ranges, means, known.statistics, changes, tuple(steps))


@dataclass(frozen=True)
class _Work:
    """What all steps share: the photos, what the recipe spends, and who is told of the progress.

    Attributes:
        real: the float network's logits of the judging photos.
        logits: computes the logits of the quantized networks that are judged.
    """

    photos: _Photos
    effort: Effort
    progress: Progress
    real: NDArray[np.float32]
    logits: Logits = real_logits

    def judge(self, quantized: QuantizedGraph) -> float:
        """Return the cost of a quantized network on the held-out photos; infinite if it is not a number."""
        self.progress("judging on held-out photos", 0, None)
        cost = logit_errors(self.logits(quantized, self.photos.judging), self.real).cost
        return math.inf if math.isnan(cost) else cost

    def encodings(self, shape: _Shape, ranges: dict[str, Range]) -> dict[str, Encoding]:
        """Return the encodings of observed ranges, with all room that they need."""
        wider = add_headroom(shape.graph, ranges, shape.sensitivity.coherence)
        return encode_tensors(shape.graph, add_logit_room(shape.graph, wider, confidence(self.real)))


def quantize_earning(
    graph: Graph, images: Photos, effort: Effort, progress: Progress, logits: Logits = real_logits
) -> QuantizedGraph:
    """Quantize a graph; `QuantizedGraph.steps` names the steps that were kept.

    Args:
        graph: a lowered float graph.
        images: the calibration photos, uint8 RGB [n, H, W, 3].
        effort: what to spend.
        progress: called with each stage.
        logits: computes the logits of quantized networks; LiteRT does it faster than our own execution.

    Raises:
        EdgenetError: a tensor holds NaN or infinity on the photos.
    """
    photos = _Photos.split(images)
    work = _Work(photos, effort, progress, run(graph, photos.judging), logits)
    best, made = _best_quick(graph, work)
    if effort.layer_photos is not None and not photos.few:
        made += [_Judged.of(one, work) for one in _thorough(best, work)]
    return min(made, key=lambda one: one.cost).quantized


def _best_quick(graph: Graph, work: _Work) -> tuple[_Shape, list[_Judged]]:
    """Return the best shape, and what was made of it quickly and of the original one by the largest weights.

    Of large networks, all shapes and all that is made of them would take gigabytes, so the others are forgotten.
    """
    best: tuple[_Shape, _Judged] | None = None
    largest: _Judged | None = None
    for shape in _shapes(graph, work):
        judged = _Judged.of(_quick(shape, work), work)
        if largest is None:
            largest = _Judged.of(_with_largest_scales(shape, work), work)
        if best is None or judged.cost < best[1].cost + _allowance(shape):
            best = shape, judged
    assert best is not None
    assert largest is not None
    return best[0], [best[1], largest]


CHANCE = 0.3
"""Costs of quick trials that differ by less say little: it is 14 % of the divergence and of the noise."""


def _allowance(shape: _Shape) -> float:
    """Return how much more a shape may cost than the simpler one before it, negative if it must cost less.

    On rotated axes the layers can make up for most errors, which a quick trial does not let them do yet:
    EfficientNet-Lite0 gains 1.4 dB by them where its quick trials are equal. Equalization gains nothing more
    afterwards, and on photos of another source it takes up to 2 dB from that network, so it has to win clearly.
    """
    return -CHANCE if EQUALIZE in shape.steps else CHANCE


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
    effort, progress = work.effort, work.progress
    seen = observe(plain, work.photos.some(effort.statistics_photos), effort, progress)
    known = KnownTensors(seen.statistics, seen.joint, seen.sampled_means)
    yield _Shape.of(plain, seen.sensitivity, known, (DEAD,))
    if work.photos.few:
        return
    shape, sensitivity, steps = plain, seen.sensitivity, [DEAD]
    changes: dict[str, ChannelChange] = {}
    if seen.joint.tensors:
        progress("rotating channels", 0, None)
        shape, sensitivity = rotate(
            plain, seen.statistics, seen.joint, sensitivity, effort.axes_steps, changes
        )
        steps.append(ROTATE)
        yield _Shape.of(shape, sensitivity, replace(known, changes=changes), steps)
    progress("equalizing channels", 0, None)
    shape = equalize(shape, seen.statistics, sensitivity, effort.factor_steps, changes)
    yield _Shape.of(shape, sensitivity, replace(known, changes=changes), (*steps, EQUALIZE))


@dataclass(frozen=True, eq=False)
class Observed:
    """What some photos show about a graph: statistics of its tensors, and the sensitivity of its logits.

    The sampled means are those of the first `Effort.quick_photos` photos.
    """

    statistics: dict[str, ChannelStatistics]
    joint: JointStatistics
    sampled_means: dict[str, NDArray[np.float64]]
    sensitivity: Sensitivity


VARIANTS_EVERY = 4
"""A variant of every fourth photo is observed too."""


def observe(graph: Graph, images: Photos, effort: Effort, progress: Progress = silent) -> Observed:
    """Return what photos and some variants of them show; the first of the photos give the sensitivity.

    Raises:
        EdgenetError: a tensor holds NaN or infinity on them.
    """
    mixed = mixable(graph)
    joint, means = JointStatistics(mixed.tensors), SampledMeans(min(effort.quick_photos, len(images)))

    def also(name: str, value: Tensor) -> None:
        joint.observe(name, value)
        means.observe(name, value)

    together = np.concatenate([images, variants(images[::VARIANTS_EVERY])])
    statistics = channel_statistics(graph, together, progress, also)
    ranges_of(graph, statistics)  # raises on values that are not finite, before they get into matrices
    few = images[: effort.sensitivity_photos]
    sensitivity = logit_sensitivity(graph, few, statistics, mixed, progress, effort.sensitivity_probes)
    return Observed(statistics, joint, means.means(), sensitivity)


def _quick(shape: _Shape, work: _Work) -> QuantizedGraph:
    """Round to nearest and correct the biases."""
    encodings = work.encodings(shape, shape.ranges)
    few = work.photos.some(work.effort.quick_photos)
    quantized = quantize_quickly(shape.graph, encodings, few, shape.means, work.progress)
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
    return finished(QuantizedGraph(graph, encodings, weights))


def _thorough(shape: _Shape, work: _Work) -> Iterator[QuantizedGraph]:
    """Yield the network with compensated weights that are rounded by second moments, then also with copies."""
    assert work.effort.layer_photos is not None
    some = work.photos.some(work.effort.layer_photos)
    more = work.photos.ranges_of_others(shape.graph, work.effort.statistics_photos, work.progress)
    encodings = work.encodings(
        shape, {name: values.union(more[name]) for name, values in shape.ranges.items()}
    )
    shape = _reusing_idle_channels(shape, encodings, work)
    steps = (*shape.steps, MINMAX, WIDENED, ROOM, COMPENSATE, SCALES, GPTQ, BIAS)
    quantized = quantize_layers(shape.graph, encodings, some, LayerOptions(), work.progress)
    yield replace(quantized, steps=steps)
    if work.effort.copies_budget:
        doubled = _doubled(shape, encodings, work)
        encodings = work.encodings(doubled, work.photos.ranges_of_others(doubled.graph, 0, work.progress))
        quantized = quantize_layers(doubled.graph, encodings, some, LayerOptions(), work.progress)
        yield replace(quantized, steps=(*shape.steps, DOUBLE, *steps[len(shape.steps) :]))


def _reusing_idle_channels(shape: _Shape, encodings: dict[str, Encoding], work: _Work) -> _Shape:
    """Return the shape with copies of noisy channels in the place of idle ones, if there are any.

    The sensitivity was measured before the channels were scaled, so it is divided by the squares of their factors.
    """
    tensors = dict(shape.sensitivity.tensors)
    for name, change in shape.changes.items():
        if change.factors.ndim == 1:
            tensors[name] = tensors[name] / change.factors**2
    energy = float(np.square(work.real, dtype=np.float64).sum(1).mean())
    scaled = replace(shape.sensitivity, tensors=tensors)
    now = changed_statistics(shape.original, shape.changes)
    graph = reuse_idle_channels(shape.graph, encodings, scaled, now, shape.original, energy)
    return shape if graph is shape.graph else replace(shape, graph=graph, steps=(*shape.steps, REUSE))


def _doubled(shape: _Shape, encodings: dict[str, Encoding], work: _Work) -> _Shape:
    few = work.photos.some(work.effort.sensitivity_photos)
    statistics = channel_statistics(shape.graph, few, work.progress)
    sensitivity = logit_sensitivity(shape.graph, few, statistics, progress=work.progress)
    graph = double_channels(shape.graph, encodings, sensitivity, work.effort.copies_budget)
    return replace(shape, graph=graph, sensitivity=sensitivity)
