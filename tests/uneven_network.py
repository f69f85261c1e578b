"""A small network whose channels differ a hundredfold, with ReLU6 layers, a linear bottleneck and an addition."""

from __future__ import annotations

import numpy as np

from edgenet.graph.ir import (
    Activation,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Mean,
    Pads,
    PixelEncoding,
)
from edgenet.graph.shapes import GraphBuilder


def uneven_network(seed: int = 0) -> Graph:
    """Build the network: pixels [1, 16, 16, 3] to 6 logits."""
    random = np.random.default_rng(seed)
    builder = GraphBuilder("uneven", "image", (1, 16, 16, 3))

    def noise(*shape: int) -> np.ndarray:
        return random.normal(0, 1, shape).astype(np.float32)

    def uneven(count: int) -> np.ndarray:
        return np.geomspace(0.03, 1.0, count).astype(np.float32)

    stem = noise(16, 3, 3, 3) * 0.4 * uneven(16)[:, None, None, None]
    x = builder.add(
        Conv2D(stem, uneven(16), (2, 2), pads=Pads(0, 1, 0, 1), activation=Activation.RELU6),
        ["image"],
        "stem",
    )
    x = builder.add(
        DepthwiseConv2D(
            noise(1, 3, 3, 16) * 0.4, noise(16) * 0.05, pads=Pads(1, 1, 1, 1), activation=Activation.RELU6
        ),
        [x],
        "depthwise",
    )
    first = builder.add(
        Conv2D(noise(12, 1, 1, 16) * uneven(12)[:, None, None, None], uneven(12)), [x], "project"
    )
    x = builder.add(
        Conv2D(noise(24, 1, 1, 12) * 0.5, noise(24) * 0.1, activation=Activation.RELU6), [first], "expand"
    )
    second = builder.add(
        Conv2D(noise(12, 1, 1, 24) * 0.2 * uneven(12)[:, None, None, None], noise(12)), [x], "again"
    )
    x = builder.add(Binary("add"), [first, second], "sum")
    x = builder.add(
        Conv2D(noise(32, 1, 1, 12) * 0.4, noise(32) * 0.1, activation=Activation.RELU6), [x], "last"
    )
    x = builder.add(Mean(keep_dims=False), [x], "mean")
    x = builder.add(FullyConnected(noise(6, 32), noise(6)), [x], "logits")
    return builder.graph(x, PixelEncoding(1 / 127.5, 127))
