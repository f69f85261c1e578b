"""Photos that join where feature maps are smaller have the same activations as if they had gone all the way."""

from __future__ import annotations

import pytest
import torch

from edgenet.graph.executor import last_uses
from edgenet.quantize import carried_photos
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.carried_photos import Carried, add_more, photos_at_nodes, run_as_device, run_float
from edgenet.quantize.ranges import encode_tensors, observe_ranges
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


def test_fewer_photos_where_maps_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = uneven_network(0)
    assert set(photos_at_nodes(graph, 24)) == {24}
    monkeypatch.setattr(carried_photos, "CARRIED_BYTES", 100_000)
    counts = photos_at_nodes(graph, 24)
    assert counts == sorted(counts)
    assert 8 <= counts[0] < counts[-1] == 24


def test_photos_that_join_later_have_the_same_activations() -> None:
    graph = uneven_network(0)
    images = photos(9, graph.size)
    encodings = encode_tensors(graph, observe_ranges(graph, images))
    quantized = quantize_layers(graph, encodings, images, LayerOptions())
    before = graph.nodes[: len(graph.nodes) // 2]

    def passed(count: int) -> Carried:
        carried = Carried.of(quantized, images[:count])
        for node in before:
            run_float(quantized, node, carried)
            run_as_device(quantized, node, carried.device)
            carried.free_after(node, last_uses(graph))
        return carried

    with torch.inference_mode():
        whole, joined = passed(9), passed(4)
        add_more(quantized, joined, images, before)
    assert len(joined) == 9
    assert joined.floats.keys() == whole.floats.keys()
    assert joined.device.integers.keys() == whole.device.integers.keys()
    for name, values in whole.device.integers.items():
        assert torch.equal(joined.device.integers[name], values), name
        torch.testing.assert_close(joined.floats[name], whole.floats[name], rtol=2e-3, atol=1e-3)
