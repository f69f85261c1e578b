"""Random small networks of all operators, whose numbers are as uneven as those of real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from small_graphs import conv, depthwise, fully_connected

from edgenet.graph.ir import (
    Activation,
    Affine,
    Binary,
    Concat,
    Graph,
    LeakyRelu,
    MatMul,
    Mean,
    Pad,
    Pads,
    Pool,
    PRelu,
    Reduce,
    Reshape,
    Resize,
    Slice,
    Softmax,
    Standardize,
    Transpose,
    Unary,
    Weighted,
    WithConstant,
    per_channel,
)
from edgenet.graph.shapes import GraphBuilder

LARGEST_SIDE, MOST_CHANNELS = 14, 24


def random_network(seed: int) -> Graph:
    """Return a network of 4 to 14 random steps, from a normalized picture [1, H, W, 3] to 2 to 7 logits."""
    return _Growth(np.random.default_rng(seed)).network()


class _Growth:
    """A network that grows step by step: each takes one of the feature maps so far, mostly the last, and adds one."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        size = tuple(int(n) for n in rng.integers(5, LARGEST_SIDE + 1, 2))
        self.builder = GraphBuilder("random", "image", (1, *size, 3))
        self.maps = [self.convolution("image")]

    def network(self) -> Graph:
        """Grow all steps and a classifier."""
        for _ in range(self.rng.integers(4, 15)):
            step = self.rng.choice(STEPS, p=WEIGHTS)  # type: ignore[arg-type]
            x = self.maps[-1] if self.rng.random() < 0.8 else self.any_map()
            self.maps.append(step(self, x))
        x = self.maps[-1]
        if self.rng.random() < 0.7:
            x = self.add(Mean(keep_dims=False), x)
        else:
            x = self.add(Reshape((1, int(np.prod(self.shape(x))))), x)
        logits = fully_connected(self.rng, self.shape(x)[-1], int(self.rng.integers(2, 8)))
        return self.builder.graph(self.add(logits, x))

    def add(self, operator: object, *inputs: str) -> str:
        return self.builder.add(operator, list(inputs), type(operator).__name__)  # type: ignore[arg-type]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.builder.shapes[name]

    def any_map(self) -> str:
        return str(self.rng.choice(self.maps))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def among(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def uneven(self, operator: Weighted) -> Weighted:
        """Return the layer with channels of other sizes and offsets, some of them dead, and with an activation."""
        rng, count = self.rng, len(operator.bias)
        factors = np.exp(rng.normal(0, rng.choice([0.1, 1.0]), count)) * 10 ** rng.uniform(-0.5, 0.5)
        factors = np.where(rng.random(count) < rng.choice([0, 0.2]), 0, factors).astype(np.float32)
        bias = operator.bias * factors + rng.normal(0, rng.choice([0, 1]), count).astype(np.float32)
        activation = Activation(rng.choice(["none", "none", "relu", "relu6"]))
        weight = operator.weight * per_channel(operator, factors)
        return replace(operator, weight=weight, bias=bias, activation=activation)

    def pads(self, size: tuple[int, ...], reach: tuple[int, int]) -> Pads:
        """Return a random padding with which a window fits into a map."""
        top, bottom, left, right = (int(self.rng.integers(0, 3)) if self.chance(0.6) else 0 for _ in range(4))
        bottom += max(0, reach[0] - size[1] - top - bottom)
        right += max(0, reach[1] - size[2] - left - right)
        return Pads(top, bottom, left, right)

    def convolution(self, x: str) -> str:
        channels, kernel = self.shape(x)[3], (self.among(1, 2, 3), self.among(1, 1, 2, 3))
        stride = (self.among(1, 1, 2), self.among(1, 1, 2))
        dilation = (self.among(1, 1, 2), self.among(1, 2)) if stride == (1, 1) else (1, 1)
        groups = channels if self.chance(0.05) else 2 if channels % 2 == 0 and self.chance(0.2) else 1
        outputs = groups * self.among(1, 2) if groups > 2 else groups * int(self.rng.integers(1, 9))
        operator = conv(
            self.rng, channels, outputs, kernel, groups, self.pads(self.shape(x), _reach(kernel, dilation))
        )
        return self.add(self.uneven(replace(operator, stride=stride, dilation=dilation)), x)

    def depthwise(self, x: str) -> str:
        kernel, stride = (self.among(1, 2, 3, 5), self.among(1, 3)), (self.among(1, 1, 2),) * 2
        pads = self.pads(self.shape(x), kernel)
        multiplier = self.among(1, 1, 1, 2) if self.shape(x)[3] <= MOST_CHANNELS // 2 else 1
        operator = depthwise(self.rng, self.shape(x)[3], kernel, multiplier, pads)
        return self.add(self.uneven(replace(operator, stride=stride)), x)

    def function(self, x: str) -> str:
        channels = self.shape(x)[3]
        kinds = ["relu", "relu6", "hard_swish", "hard_sigmoid", "sigmoid", "tanh", "gelu", "gelu_tanh"]
        own = (
            LeakyRelu(float(np.float32(self.rng.choice([0.01, 0.3])))),
            PRelu(self.rng.normal(0.2, 0.3, channels).astype(np.float32)),
            Softmax(),
        )
        return self.add(
            own[self.among(0, 1, 2)] if self.chance(0.25) else Unary(str(self.rng.choice(kinds))), x
        )

    def root(self, x: str) -> str:
        above = self.add(
            Affine(np.ones(1, np.float32), np.full(1, 0.25, np.float32)), self.add(Unary("relu6"), x)
        )
        return self.add(Unary(str(self.rng.choice(["sqrt", "rsqrt"]))), above)

    def affine(self, x: str) -> str:
        count = self.among(1, self.shape(x)[3])
        scale = self.rng.uniform(0.3, 2, count).astype(np.float32)
        return self.add(Affine(scale, self.rng.normal(0, 0.5, count).astype(np.float32)), x)

    def sum_or_product(self, x: str) -> str:
        same = [name for name in self.maps if self.shape(name) == self.shape(x)]
        kind, activation = (
            str(self.rng.choice(["add", "add", "sub", "mul"])),
            Activation(self.rng.choice(["none", "relu", "relu6"])),
        )
        return self.add(Binary(kind, activation), x, str(self.rng.choice(same)))

    def division(self, x: str) -> str:
        above = self.add(Affine(np.ones(1, np.float32), np.ones(1, np.float32)), self.add(Unary("relu6"), x))
        return self.add(Binary("div"), x, above)

    def gate(self, x: str) -> str:
        """Squeeze and excite."""
        gates = self.add(Mean(), x)
        channels = self.shape(x)[3]
        gates = self.add(self.uneven(conv(self.rng, channels, channels, (1, 1))), gates)
        gates = self.add(Unary(str(self.rng.choice(["sigmoid", "hard_sigmoid"]))), gates)
        return self.add(Binary("mul"), *(str(name) for name in self.rng.permutation([x, gates])))

    def pool(self, x: str) -> str:
        _, height, width, _ = self.shape(x)
        size = (int(self.rng.integers(1, min(height, 4) + 1)), int(self.rng.integers(1, min(width, 4) + 1)))
        stride = (self.among(1, size[0]), self.among(1, size[1]))
        return self.add(Pool(str(self.rng.choice(["max", "average"])), size, stride), x)

    def padding(self, x: str) -> str:
        return self.add(Pad(self.pads(self.shape(x), (1, 1))), x)

    def concat(self, x: str) -> str:
        fitting = [name for name in self.maps if self.shape(name)[:3] == self.shape(x)[:3]]
        others = [str(name) for name in self.rng.choice(fitting, self.among(1, 1, 2))]
        if sum(self.shape(name)[3] for name in [x, *others]) > MOST_CHANNELS:
            return self.part(x)
        return self.add(Concat(3), x, *others)

    def reshape(self, x: str) -> str:
        _, height, width, channels = self.shape(x)
        if self.chance(0.5):
            return self.add(Transpose((0, 2, 1, 3)), x)
        if channels % 2 == 0 and width * 2 <= LARGEST_SIDE:
            return self.add(Reshape((1, height, width * 2, channels // 2)), x)
        return self.add(Reshape((1, width, height, channels)), x)

    def part(self, x: str) -> str:
        shape = self.shape(x)
        stride = (1, self.among(1, 1, 2), self.among(1, 1, 3), self.among(1, 1, 2))
        begin = (0, *(int(self.rng.integers(0, n)) if self.chance(0.3) else 0 for n in shape[1:]))
        return self.add(Slice(begin, shape, stride), x)

    def resize(self, x: str) -> str:
        size = (int(self.rng.integers(1, LARGEST_SIDE + 1)), int(self.rng.integers(1, LARGEST_SIDE + 1)))
        corners, half = ((False, False), (True, False), (False, True))[self.among(0, 1, 2)]
        return self.add(Resize(str(self.rng.choice(["nearest", "bilinear"])), size, corners, half), x)

    def statistics(self, x: str) -> str:
        axes = ((3,), (1, 2))[self.among(0, 1)]
        if self.chance(0.6):
            return self.add(Standardize(axes, 1e-3), x)
        return self.add(Binary("add"), x, self.add(Reduce(str(self.rng.choice(["mean", "sum"])), axes), x))

    def constant(self, x: str) -> str:
        _, height, width, channels = self.shape(x)
        value = self.rng.normal(0, 1, (1, height, width, channels)).astype(np.float32)
        return self.add(WithConstant(str(self.rng.choice(["add", "mul"])), value), x)

    def attention(self, x: str) -> str:
        _, height, width, channels = self.shape(x)
        if height * width > 64:
            return self.pool(x)
        rows = self.add(Reshape((1, height * width, channels)), x)
        shares = self.add(Softmax(), self.add(MatMul(transpose_second=True), rows, rows))
        return self.add(Reshape((1, height, width, channels)), self.add(MatMul(), shares, rows))


def _reach(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


_SHARES: dict[Callable[[_Growth, str], str], float] = {
    _Growth.convolution: 6,
    _Growth.depthwise: 4,
    _Growth.function: 4,
    _Growth.root: 0.3,
    _Growth.affine: 1,
    _Growth.sum_or_product: 3,
    _Growth.division: 0.3,
    _Growth.gate: 1,
    _Growth.pool: 1,
    _Growth.padding: 1,
    _Growth.concat: 2,
    _Growth.reshape: 1,
    _Growth.part: 1,
    _Growth.resize: 1,
    _Growth.statistics: 0.5,
    _Growth.constant: 0.5,
    _Growth.attention: 0.5,
}
STEPS = list(_SHARES)
WEIGHTS = np.array([*_SHARES.values()]) / sum(_SHARES.values())
