"""Mix the channels of linear tensors: express the same function on axes that int8 rounds with less noise.

MobileNetV2's bottlenecks are linear: there is no activation between the layers that make such a tensor and the 1x1
convolutions that read it, through any number of residual additions. So any invertible matrix R may be put in between:
the producers give R(x - c), and the readers multiply by the inverse of R. Cross-layer equalization, which only scales
channels, is the case of a diagonal R. This is transform coding. With the same step for all channels, rounding makes a
noise at the logits of

    span(R)^2 / (12 * 255^2) * tr(R^-T S R^-1)

where S is the sensitivity (see `sensitivity`). If the span were a multiple of the channels' standard deviation, the
best R'R would be C^-1/2 (C^1/2 S C^1/2)^1/2 C^-1/2, with C the covariance, and a rotation would then give all channels
the same variance. Real spans differ a little from that. So several such matrices and some diagonal ones are tried on
real values, and the rounding of the layers' weights is counted too. Gradient descent continues from the best matrix and
finds axes on which no value reaches far.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.ir import WEIGHTED, Graph, Node, with_constants
from edgenet.quantize.equalize import ChannelChange, TensorGroup, group_of, shifts_of, tensor_groups
from edgenet.quantize.mixing_noise import DescentNoise, Matrix, MixingNoise
from edgenet.quantize.ranges import ChannelStatistics
from edgenet.quantize.sensitivity import FullMatrixNames, Sensitivity, descend

Statistics = dict[str, ChannelStatistics]
LARGEST_RATE, RATE_OF_ALL = 0.05, 1.0
"""The descent's first learning rate is RATE_OF_ALL / channels, at most LARGEST_RATE, since small steps of many numbers
add up. At 0.02 for all, V2's 160 channels keep 10 % more noise after as many steps; at 0.03 their descent diverges."""
NEGLIGIBLE = 0.02
"""Of the noise of all groups so far: a group that makes less keeps the axes of its closed form."""


def rotate(
    graph: Graph,
    statistics: Statistics,
    joint: JointStatistics,
    sensitivity: Sensitivity,
    steps: int = 20,
    changes: dict[str, ChannelChange] | None = None,
) -> tuple[Graph, Sensitivity]:
    """Return the same function with linear tensors on better axes, and the sensitivity on these axes.

    Args:
        graph: a lowered float graph.
        statistics: statistics of its tensors on the calibration photos.
        joint: joint statistics of the mixable tensors' channels on the same photos.
        sensitivity: the sensitivity, with the whole matrices that `mixable` names.
        steps: gradient descent steps for each group.
        changes: is given every rotated tensor's change, by name.
    """
    total = 0.0
    for tensors in [group.tensors for group in _mixable_groups(graph)]:
        group = group_of(graph, tensors)  # described anew, because earlier groups may have changed its nodes
        assert group is not None
        shifts = shifts_of(group, statistics)
        far = {name: joint.far_rows(name) - shifts[name].astype(np.float32) for name in tensors}
        noise = MixingNoise(group, far, sensitivity)
        candidates = map(torch.from_numpy, _candidates(group, shifts, statistics, joint, sensitivity))
        matrix = min(
            candidates, key=lambda one: float(noise.of_factors(one) if one.ndim == 1 else noise(one))
        )
        matrix = torch.diag(matrix) if matrix.ndim == 1 else matrix
        if steps:
            total += (alone := float(noise(matrix)))
            if alone > NEGLIGIBLE * total:
                # Gradients in single precision lead to axes as good, in less time.
                further = _descend(MixingNoise(group, far, sensitivity, torch.float32), matrix, steps)
                matrix = further if float(noise(further)) < alone else matrix
        graph = _apply(graph, group, matrix.numpy(), shifts)
        sensitivity = _on_new_axes(sensitivity, group, matrix.numpy())
        if changes is not None:
            changes |= {name: ChannelChange(shifts[name], matrix.numpy()) for name in tensors}
    return graph, sensitivity


def mixable(graph: Graph) -> FullMatrixNames:
    """Return the tensors whose channels may be mixed, and the layers around them."""
    groups = _mixable_groups(graph)
    return FullMatrixNames(
        frozenset(name for group in groups for name in group.tensors),
        frozenset(node.name for group in groups for node in group.producers),
        frozenset(node.name for group in groups for node in group.consumers),
    )


def _mixable_groups(graph: Graph) -> list[TensorGroup]:
    groups = [group_of(graph, tensors) for tensors in tensor_groups(graph)]
    return [group for group in groups if group is not None and group.can_mix]


FURTHEST_PER_PHOTO, FURTHEST_ROWS = 64, 2048
"""Number of extreme rows to keep for each photo, and of all photos together."""
PHOTOS_TOGETHER = 2
"""Number of photos whose extreme rows are found together."""


class JointStatistics:
    """Joint statistics of some tensors' channels, collected while photos go through the float network."""

    def __init__(self, tensors: frozenset[str]) -> None:
        self.tensors = tensors
        self._outer: dict[str, Tensor] = {}
        self._total: dict[str, Tensor] = {}
        self._count: dict[str, int] = {}
        self._rows: dict[str, list[Tensor]] = {}

    def observe(self, name: str, value: Tensor) -> None:
        """Add a tensor's value for more photos, [n, ..., C]; tensors not in `tensors` are ignored."""
        if name in self.tensors:
            for part in value.split(PHOTOS_TOGETHER):
                self._observe_some(name, part)

    def _observe_some(self, name: str, value: Tensor) -> None:
        rows = value.reshape(-1, value.shape[-1])
        outer, total = rows.T @ rows, rows.sum(0)
        mean = total / len(rows)
        # `std` would take ten times as long.
        deviation = (outer.diagonal() / len(rows) - mean.square()).clamp(min=0).sqrt()
        far = _furthest(rows, FURTHEST_PER_PHOTO * len(value), mean, deviation)
        self._rows.setdefault(name, []).append(far)
        outer, total = outer.double(), total.double()
        self._outer[name] = self._outer[name] + outer if name in self._outer else outer
        self._total[name] = self._total[name] + total if name in self._total else total
        self._count[name] = self._count.get(name, 0) + len(rows)

    def covariance(self, name: str) -> Matrix:
        """Return the covariance of a tensor's channels over photos and positions, [C, C]."""
        mean = self._total[name] / self._count[name]
        return (self._outer[name] / self._count[name] - torch.outer(mean, mean)).numpy()

    def kept_rows(self, name: str) -> NDArray[np.float32]:
        """Return the rows of each photo that lie furthest from its mean, [rows, C]."""
        return torch.cat(self._rows[name]).numpy()

    def far_rows(self, name: str) -> NDArray[np.float32]:
        """Return the tensor's rows that lie furthest from the mean, [rows, C]."""
        rows = torch.from_numpy(self.kept_rows(name))
        return _furthest(rows, FURTHEST_ROWS, rows.mean(0), rows.std(0)).numpy()


def _furthest(rows: Tensor, count: int, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return the rows furthest from the mean; they decide how wide the range is, whatever the axes."""
    least = (1e-3 * mean.abs()).clamp(min=1e-9)  # a channel that hardly changes has no say
    distance = ((rows - mean) / torch.maximum(deviation, least)).square().sum(1)
    return rows[distance.topk(min(count, len(rows))).indices]


POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Powers of the factors that give all channels the same reach; each makes a diagonal start matrix."""
EVENNESS = (0.01, 0.1)
"""Fraction of the mean sensitivity that is added to every direction, because the few photos may not excite it."""
TURNS = 2
"""Number of random rotations to try after each transform."""


def _candidates(
    group: TensorGroup,
    shifts: dict[str, Matrix],
    statistics: Statistics,
    joint: JointStatistics,
    sensitivity: Sensitivity,
) -> Iterator[Matrix]:
    """Yield start matrices: diagonal ones by powers of the channels' reach, [C], and rotated transforms, [C, C]."""
    ends = [
        np.maximum(statistics[name].high - shifts[name], shifts[name] - statistics[name].low)
        for name in group.tensors
    ]
    reach = np.maximum(np.max(ends, axis=0), 1e-9 * max(np.max(ends), 1e-300))
    for power in POWERS:
        yield (reach.max() / reach).clip(max=64) ** power
    covariance = np.mean([joint.covariance(name) for name in group.tensors], axis=0)
    summed = np.sum([sensitivity.tensors[name] for name in group.tensors], axis=0)
    if not (np.trace(covariance) > 0 and np.trace(summed) > 0):
        return
    root, inverse = _root_and_inverse(covariance)
    turns = [_random_rotation(len(covariance), seed) for seed in range(TURNS)]
    for evenness in EVENNESS:
        transform = _transform(root, inverse, summed, evenness)
        whitened = transform @ covariance @ transform.T
        for turn in turns:
            yield _evenly_turned(whitened, turn) @ transform


WHITENING_FLOOR = 1e-6
"""Fraction of the mean variance that is added to every direction, so that the covariance can be inverted."""


def _root_and_inverse(covariance: Matrix) -> tuple[Matrix, Matrix]:
    """Return the square root of the covariance, which is made invertible first, and the root's inverse."""
    floor = WHITENING_FLOOR * np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    roots = np.sqrt(np.maximum(values, 0) + floor)
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T


def _transform(root: Matrix, inverse: Matrix, sensitivity: Matrix, evenness: float) -> Matrix:
    """Return a matrix T with the best T'T for this covariance and sensitivity (see module docstring).

    Args:
        root, inverse: of the covariance, from `_root_and_inverse`.
        sensitivity: the sensitivity S.
        evenness: see EVENNESS.
    """
    both = root @ sensitivity @ root
    values, vectors = np.linalg.eigh((both + both.T) / 2)
    values = np.maximum(values + evenness * np.trace(both) / len(both), 0)
    return (vectors * values**0.25) @ vectors.T @ inverse


def _random_rotation(count: int, seed: int) -> Matrix:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(count, count)))[0]


def _evenly_turned(covariance: Matrix, start: Matrix) -> Matrix:
    """Return a rotation Q [C, C] that gives all channels the same variance: Q cov Q' has an even diagonal.

    It begins with the rotation `start`. Each of fewer than C plane rotations then sets one channel's variance to
    the mean.
    """
    count, turn = len(covariance), start.copy()
    rotated = turn @ covariance @ turn.T
    mean = np.trace(rotated) / count
    for _ in range(count - 1):
        off = np.diagonal(rotated) - mean
        most, least = int(off.argmax()), int(off.argmin())
        if off[most] - off[least] < 1e-9 * mean:
            break
        plane = _plane_rotation(rotated, most, least, mean)
        turn[[most, least]] = plane @ turn[[most, least]]
        rotated[[most, least]] = plane @ rotated[[most, least]]
        rotated[:, [most, least]] = rotated[:, [most, least]] @ plane.T
    return turn


def _plane_rotation(covariance: Matrix, first: int, second: int, wanted: float) -> Matrix:
    """Return the rotation of two channels that gives the first the variance `wanted`, between their own.

    The tangent t of its angle solves (b - v) t^2 + 2 c t + (a - v) = 0, for the variances a and b, the
    covariance c and the wanted variance v.
    """
    a, b = covariance[first, first] - wanted, covariance[second, second] - wanted
    c = covariance[first, second]
    tangent = (-c + np.sqrt(max(c * c - a * b, 0.0))) / b
    cosine = 1 / np.sqrt(1 + tangent**2)
    return cosine * np.array([[1, tangent], [-tangent, 1]])


def _descend(noise: MixingNoise, start: Tensor, steps: int) -> Tensor:
    """Lower the noise by gradient descent on a factor of `start` that begins as the identity."""
    identity, single = torch.eye(noise.channels), start.float()
    rate = min(LARGEST_RATE, RATE_OF_ALL / noise.channels)
    with_gradient = DescentNoise(noise)

    def slope(factor: Tensor) -> tuple[float, Tensor]:
        value, gradient = with_gradient(factor @ single)
        return value, gradient @ single.T

    return descend(slope, identity, steps, rate).double() @ start


def _apply(graph: Graph, group: TensorGroup, matrix: Matrix, shifts: dict[str, Matrix]) -> Graph:
    inverse = np.linalg.inv(matrix)
    changed: dict[str, Node] = {node.name: node for node in graph.nodes}
    for node in group.producers:
        operator = node.operator
        assert isinstance(operator, WEIGHTED)
        weight = np.tensordot(matrix, operator.weight.astype(np.float64), (1, 0))
        changed[node.name] = with_constants(node, weight, matrix @ (operator.bias - shifts[node.output]))
    for node in group.consumers:  # read from `changed`, because a consumer may be a producer changed above
        operator = changed[node.name].operator
        assert isinstance(operator, WEIGHTED)
        weight = operator.weight.astype(np.float64)
        restored = (weight * shifts[node.inputs[0]]).reshape(len(operator.bias), -1).sum(1)
        changed[node.name] = with_constants(changed[node.name], weight @ inverse, operator.bias + restored)
    return graph.with_nodes(changed[node.name] for node in graph.nodes)


def _on_new_axes(sensitivity: Sensitivity, group: TensorGroup, matrix: Matrix) -> Sensitivity:
    """Return the sensitivity on the new axes."""
    inverse = np.linalg.inv(matrix)
    tensors = {name: inverse.T @ sensitivity.tensors[name] @ inverse for name in group.tensors}
    rows = {n.name: inverse.T @ sensitivity.rows[n.name] @ inverse for n in group.producers}
    columns = {n.name: matrix @ sensitivity.columns[n.name] @ matrix.T for n in group.consumers}
    return replace(
        sensitivity,
        tensors=sensitivity.tensors | tensors,
        rows=sensitivity.rows | rows,
        columns=sensitivity.columns | columns,
    )
