"""Each rounding's share of the noise, compared with runs that round only this tensor or layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgenet.graph.executor import run, run_tensors
from edgenet.graph.ir import Graph
from edgenet.progress import silent
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.matching import as_integers, decoder_from_encoding
from edgenet.quantize.noise_shares import LayerShare, NoiseShares, dequantized, noise_shares, rerun
from edgenet.quantize.quantized_graph import (
    Encoding,
    QuantizedGraph,
    dequantize_array,
    keep_float,
    quantize_array,
)
from edgenet.quantize.ranges import encode_tensors, observe_ranges
from edgenet.quantize.recipes import RECIPES
from tests.renaming import renamed_file
from tests.reshaped_graphs import rotate_and_equalize
from tests.small_graphs import photos
from tests.uneven_network import uneven_network


@pytest.fixture(scope="module")
def graph() -> Graph:
    return uneven_network()


@pytest.fixture(scope="module")
def plain(graph: Graph) -> QuantizedGraph:
    return RECIPES["minmax"].quantize(graph, images(graph), silent)


def images(graph: Graph) -> np.ndarray:
    return photos(10, graph.size)


def by_node(noise: NoiseShares) -> dict[str, LayerShare]:
    return {layer.node: layer for layer in noise.layers}


def energy(x: np.ndarray) -> float:
    return float(np.square(x, dtype=np.float64).sum())


def test_shares_add_up(graph: Graph, plain: QuantizedGraph) -> None:
    noise = noise_shares(plain, graph, images(graph))
    assert noise.photos == 10
    assert noise.weights + noise.activations == pytest.approx(1)
    assert sum(layer.activations for layer in noise.layers) == pytest.approx(noise.activations)
    assert sum(layer.weights or 0 for layer in noise.layers) == pytest.approx(noise.weights)
    assert [layer.node for layer in noise.layers] == [graph.input, *(node.name for node in graph.nodes)]
    assert 0.5 < noise.explained < 2


def test_biases_that_make_up_for_activations_cancel_noise(graph: Graph) -> None:
    """A tensor's range ends too early; corrected biases bring its readers' means back."""
    encodings = encode_tensors(graph, observe_ranges(graph, images(graph)))
    name = next(node.output for node in graph.nodes if node.name == "stem")
    encodings[name] = replace(encodings[name], scale=encodings[name].scale / 2)
    as_they_were, corrected = (
        noise_shares(
            quantize_layers(graph, encodings, images(graph), options), graph, images(graph)
        ).cancelled
        for options in (LayerOptions(correct_bias=False, compensate=False), LayerOptions(compensate=False))
    )
    assert corrected > 0.3
    assert as_they_were < 0.1


def test_the_parts_are_what_single_roundings_do(graph: Graph, plain: QuantizedGraph) -> None:
    """The weights' part comes from the file's network in float.

    A tensor's part comes from the same run with that tensor rounded, computed without `rerun`.
    """
    some = images(graph)
    noise = noise_shares(plain, graph, some)
    real = dequantized(plain)
    with_weights = run(real, some)
    weights = energy(with_weights - run(graph, some))
    name, encoding = "project", plain.encodings["project"]
    spoiled = [
        dequantize_array(quantize_array(value, encoding), encoding) for value in _tensor(real, some, name)
    ]
    of_tensor = energy(np.concatenate([_from(real, some, name, value) for value in spoiled]) - with_weights)
    assert of_tensor / weights == pytest.approx(by_node(noise)[name].activations / noise.weights, rel=1e-3)


def _tensor(graph: Graph, some: np.ndarray, name: str) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    run(graph, some, 1, lambda made, value: found.append(value.numpy()) if made == name else None)
    return found


def _from(graph: Graph, some: np.ndarray, name: str, value: np.ndarray) -> np.ndarray:
    """Run the network from a tensor on.

    The tensor must be the only way to the logits, except for the addition's other input.
    """
    rest = graph.nodes[[node.output for node in graph.nodes].index(name) + 1 :]
    behind = replace(graph, nodes=rest, input=name)
    return run_tensors(behind, torch.from_numpy(value)).numpy()


def test_rerun_is_a_whole_run(graph: Graph) -> None:
    some = torch.from_numpy(decoder_from_encoding(graph)(images(graph)))
    clean: dict[str, torch.Tensor] = {}
    logits = run_tensors(graph, some, clean.__setitem__)
    for name in clean:
        assert torch.equal(rerun(graph, clean, name, clean[name]), logits)
    assert torch.equal(rerun(graph, clean, graph.output, 2 * logits), 2 * logits)
    other = run_tensors(graph, 0.5 * some)
    assert torch.equal(rerun(graph, clean, graph.input, 0.5 * some), other)


def test_a_coarse_tensor_stands_out(graph: Graph, plain: QuantizedGraph) -> None:
    encodings = {**plain.encodings, "last": Encoding(plain.encodings["last"].scale * 64, -128)}
    noise = noise_shares(replace(plain, encodings=encodings), graph, images(graph))
    assert max(noise.layers, key=lambda layer: layer.activations).node == "last"
    assert by_node(noise)["last"].activations > 0.5


def test_a_spoiled_layer_stands_out(graph: Graph, plain: QuantizedGraph) -> None:
    values = plain.weights["again"].values.copy()
    values[:, :, :, ::4] = np.clip(values[:, :, :, ::4].astype(int) + 9, -127, 127)
    weights = {**plain.weights, "again": replace(plain.weights["again"], values=values)}
    noise = noise_shares(replace(plain, weights=weights), graph, images(graph))
    assert max(noise.layers, key=lambda layer: layer.weights or 0).node == "again"
    own = noise_shares(plain, graph, images(graph))
    assert (by_node(noise)["again"].weights or 0) > 3 * (by_node(own)["again"].weights or 0)


def test_an_equalized_file_has_no_weights_of_single_layers(graph: Graph) -> None:
    some = images(graph)
    equalized = rotate_and_equalize(graph, some)
    encodings = encode_tensors(equalized, observe_ranges(equalized, some))
    quantized = quantize_layers(equalized, encodings, some, LayerOptions(), silent)
    noise = noise_shares(quantized, graph, some)
    assert {layer.weights for layer in noise.layers} == {None}
    assert 0 < noise.weights < 1
    assert sum(layer.activations for layer in noise.layers) == pytest.approx(noise.activations)


def test_what_a_float_layer_makes_is_rounded_for_int8_readers_only(
    graph: Graph, plain: QuantizedGraph
) -> None:
    """The output of "project" goes to "expand", which is float, and to the addition, which is not."""
    noise = noise_shares(keep_float(plain, ["project", "expand", "logits"]), graph, images(graph))
    shares = by_node(noise)
    assert {shares[name].weights for name in ("project", "expand", "logits")} == {0}
    assert shares["project"].activations > 0
    assert shares["logits"].activations == 0
    assert 0.8 < noise.explained < 1.25
    clean: dict[str, torch.Tensor] = {}
    logits = run_tensors(
        graph, torch.from_numpy(decoder_from_encoding(graph)(images(graph))), clean.__setitem__
    )
    other = 2 * clean["project"]
    of_sum = rerun(graph, clean, "sum", other + clean["again"])
    assert torch.equal(rerun(graph, clean, "project", other, {"expand"}), of_sum)
    assert torch.equal(rerun(graph, clean, "project", other, {"expand", "sum"}), logits)


def test_names_do_not_matter(graph: Graph, plain: QuantizedGraph) -> None:
    own = noise_shares(plain, graph, images(graph))
    other = noise_shares(renamed_file(plain), graph, images(graph))
    assert [(n.activations, n.weights) for n in other.layers] == [
        (n.activations, n.weights) for n in own.layers
    ]


def test_a_padding_rounds_nothing(graph: Graph, plain: QuantizedGraph) -> None:
    from edgenet.graph.lower import lower_padding

    lowered = lower_padding(graph)
    quantized = RECIPES["minmax"].quantize(lowered, images(graph), silent)
    padded = {node.name for node in lowered.nodes} - {node.name for node in graph.nodes}
    noise = noise_shares(quantized, lowered, images(graph))
    assert padded.isdisjoint(by_node(noise))


def test_pixels_are_exact(graph: Graph, plain: QuantizedGraph) -> None:
    some = images(graph)
    assert np.array_equal(as_integers(plain, decoder_from_encoding(graph)(some)), some)
    assert by_node(noise_shares(plain, graph, some))[graph.input].activations == 0
