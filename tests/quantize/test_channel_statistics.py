"""The statistics of every tensor's channels are those of its values on the photos, with padding or without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import build, conv, fully_connected, photos
from torch import Tensor

from edgenet.graph.executor import run
from edgenet.graph.ir import Activation, Mean, Pad, Pads
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.ranges import channel_statistics, tail_index


@pytest.mark.parametrize("pads", [Pads(1, 1, 1, 1), Pads(0, 1, 0, 1), Pads()])
@pytest.mark.parametrize("value", [0.0, -np.inf])
def test_they_are_those_of_the_values(pads: Pads, value: float) -> None:
    random = np.random.default_rng(0)

    def padded(builder: GraphBuilder, x: str) -> str:
        x = builder.add(replace(conv(random, 3, 8, (1, 1)), activation=Activation.NONE), [x], "first")
        x = builder.add(Pad(pads, value), [x], "padded")
        x = builder.add(Mean(), [x], "pool")
        return builder.add(fully_connected(random, 8, 4), [x], "classifier")

    graph = build(padded)
    images, values = photos(24, graph.size), dict[str, list[np.ndarray]]()

    def keep(name: str, value: Tensor) -> None:
        values.setdefault(name, []).append(value.double().numpy())

    with np.errstate(invalid="ignore"):
        run(graph, images, observe=keep)
        found = channel_statistics(graph, images)
    assert list(found) == list(values)
    for name in ("first", "padded"):
        rows = np.concatenate(values[name]).reshape(len(images), -1, 8)
        seen = found[name]
        np.testing.assert_array_equal(seen.low, rows.min((0, 1)))
        np.testing.assert_array_equal(seen.high, rows.max((0, 1)))
        np.testing.assert_allclose(seen.mean, rows.mean((0, 1)), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(seen.tail, tail_index(rows.max(1)))
