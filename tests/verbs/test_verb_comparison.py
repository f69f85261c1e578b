"""`edgenet.inspect` with a float network: shares of the noise, advice, plots, and files that another tool made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from renaming import renamed, renamed_file
from small_graphs import photos, quantize
from small_network import PHOTOS
from uneven_network import uneven_network

import edgenet
from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph, PixelEncoding, Softmax
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import float_program, raw_program
from edgenet.workflows.layer_comparison import LayerComparison


def compared(int8: Path, against: Path | str, **more: object) -> LayerComparison:
    found = edgenet.inspect(int8, against=against, data=PHOTOS, photos=4, **more).compared  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uneven") / "float.tflite"
    path.write_bytes(write_tflite(float_program(uneven_network())))
    return path


def int8_graph(graph: Graph, pixels: np.ndarray) -> QuantizedGraph:
    """As another tool would have made it: other names, int8 in and out."""
    return renamed_file(quantize(graph, pixels))


def written(path: Path, quantized: QuantizedGraph) -> Path:
    path.write_bytes(write_tflite(raw_program(quantized)))
    return path


def test_our_own_file(made: Path) -> None:
    found = compared(made / "int8.tflite", made / "small.safetensors")
    assert found.input == "pixels"
    assert (found.errors.photos, found.noise.photos) == (4, 4)
    assert 0 <= found.errors.same_answer <= 4
    assert found.noise.weights + found.noise.activations == pytest.approx(1)
    assert found.noise.sqnr_db == pytest.approx(found.errors.layers[-1].sqnr_db, abs=1e-3)
    assert found.advice


def test_another_tools_file(float_file: Path, tmp_path: Path) -> None:
    """Layers, the addition and the mean are found, and the figures are those under the original's names."""
    graph = uneven_network()
    quantized = quantize(graph, photos(6, graph.size))
    own = compared(written(tmp_path / "own.tflite", quantized), float_file)
    other = compared(written(tmp_path / "other.tflite", renamed_file(quantized)), float_file)
    assert [replace(error, node="") for error in other.errors.layers] == [
        replace(error, node="") for error in own.errors.layers
    ]
    assert len(other.errors.layers) == len(graph.nodes)
    assert [share.total for share in other.noise.layers] == [share.total for share in own.noise.layers]


def test_normalized_input_is_recognised(float_file: Path, tmp_path: Path) -> None:
    """int8 input with a scale of its own holds normalized numbers, not pixels."""
    graph = uneven_network()
    pixels = photos(6, graph.size)
    integers = np.rint((pixels - 127.0) / 127.5 * 64) + 128
    quantized = int8_graph(replace(graph, pixels=PixelEncoding(1 / 64, 128)), integers.astype(np.uint8))
    assert quantized.encodings[quantized.graph.input] == Encoding(1 / 64, 0)
    found = compared(written(tmp_path / "other.tflite", quantized), float_file)
    assert found.input in ("centred", "-1..1")  # half a pixel apart
    assert found.noise.sqnr_db > 10
    # 64 steps for what pixels have 127 for: the picture itself is rounded now
    assert found.noise.layers[0].node == quantized.graph.input
    assert found.noise.layers[0].activations > 0


def test_a_softmax_in_int8_is_left_out(float_file: Path, tmp_path: Path) -> None:
    graph = renamed(uneven_network())
    builder = GraphBuilder(graph.name, graph.input, graph.shapes[graph.input])
    builder.nodes, builder.shapes = list(graph.nodes), dict(graph.shapes)
    with_scores = builder.graph(builder.add(Softmax(), [graph.output], "scores"), graph.pixels)
    quantized = quantize(with_scores, photos(6, graph.size))
    found = compared(written(tmp_path / "scores.tflite", quantized), float_file)
    assert found.errors.layers[-1].node == graph.output
    assert found.noise.sqnr_db > 10


def test_another_network_is_reported(float_file: Path, tmp_path: Path) -> None:
    other = uneven_network(seed=5)
    path = written(tmp_path / "other.tflite", int8_graph(other, photos(6, other.size)))
    assert "little in common" in compared(path, float_file).advice


@pytest.mark.parametrize("name", ["plot.png", "plot.html"])
def test_plots(float_file: Path, tmp_path: Path, name: str) -> None:
    graph = uneven_network()
    int8 = written(tmp_path / "int8.tflite", int8_graph(graph, photos(6, graph.size)))
    compared(int8, float_file, plot=tmp_path / name)
    start = b"\x89PNG" if name.endswith("png") else b"<!doctype html>"
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_plot_that_cannot_be_written_is_reported_before_the_work(made: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"neither \.png nor \.html"):
        compared(made / "int8.tflite", "no source", plot=tmp_path / "plot.pdf")
    with pytest.raises(EdgenetError, match="there is no folder"):
        compared(made / "int8.tflite", "no source", plot=tmp_path / "no" / "plot.png")
