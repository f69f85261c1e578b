"""The cost of graphs: mult-adds, parameters and activation memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import PIXELS, build, conv, depthwise, fully_connected
from torch import nn

from edgenet.graph.ir import Binary, Mean, Pads, Pool
from edgenet.graph.shapes import GraphBuilder, cost, node_mult_adds
from edgenet.graph.torch_reader import read_torch
from edgenet.zoo.counting import count
from edgenet.zoo.mobilenet_v1 import MobileNetV1
from edgenet.zoo.mobilenet_v2 import MobileNetV2


def bias_free(module: nn.Module) -> int:
    """Count the biases, one for each output channel: the papers leave them and batch norm out."""
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return sum(m.out_channels if isinstance(m, nn.Conv2d) else m.out_features for m in layers)


@pytest.mark.parametrize("network", [MobileNetV1, MobileNetV2])
def test_as_the_torch_module_is_counted(network: type[nn.Module]) -> None:
    module = network(width=0.25).eval()
    expected = count(module, 96)
    counted = cost(read_torch(module, (96, 96), "small"))
    assert counted.mult_adds == expected.mult_adds
    assert counted.parameters == expected.parameters + bias_free(module)


def test_every_kind_of_layer_by_hand() -> None:
    rng = np.random.default_rng(0)
    builder = GraphBuilder("small", "image", (1, 8, 8, 3))
    first = replace(conv(rng, 3, 4, (3, 3), pads=Pads(1, 0, 1, 0)), stride=(2, 2))
    x = builder.add(first, ["image"], "conv")  # 4x4x4
    x = builder.add(conv(rng, 4, 6, (1, 1), groups=2), [x], "grouped")  # 4x4x6
    x = builder.add(depthwise(rng, 6, (3, 3), multiplier=2), [x], "depthwise")  # 2x2x12
    x = builder.add(Mean(False), [x], "mean")
    x = builder.add(fully_connected(rng, 12, 5), [x], "logits")
    graph = builder.graph(x, PIXELS)
    each = {node.name: node_mult_adds(graph, node) for node in graph.nodes}
    assert each == {"conv": 64 * 27, "grouped": 96 * 2, "depthwise": 48 * 9, "mean": 0, "logits": 60}
    assert cost(graph).mult_adds == sum(each.values())
    assert cost(graph).parameters == (4 * 27 + 4) + (6 * 2 + 6) + (12 * 9 + 12) + (12 * 5 + 5)


def test_peak_memory_by_hand() -> None:
    rng = np.random.default_rng(0)
    builder = GraphBuilder("small", "image", (1, 4, 4, 3))  # 48 values
    wide = builder.add(conv(rng, 3, 10, (1, 1)), ["image"], "wide")  # 160, with the image 208
    left = builder.add(conv(rng, 10, 2, (1, 1)), [wide], "left")  # 32, with wide 192
    right = builder.add(conv(rng, 10, 2, (1, 1)), [wide], "right")  # 32, with wide and left 224
    both = builder.add(Binary("add"), [left, right], "both")  # 96
    output = builder.add(Pool("max", (4, 4), (1, 1)), [both], "output")
    assert cost(builder.graph(output, PIXELS)).peak_activation_values == 224


def test_a_tensor_read_twice_is_freed_after_its_last_reader() -> None:
    graph = build(lambda b, x: b.add(Binary("add"), [b.add(Mean(), [x], "mean"), x], "sum"), (2, 2))
    assert cost(graph).peak_activation_values == 12 + 3 + 12
