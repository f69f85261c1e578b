"""Whole .tflite files: the layout that clients take, equal bytes, alignment, reading back."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from edgenet_device.runtime import find_delegate
from every_layer import CLASSES, SIZE, files, network, quantized_network, with_weights_behind
from small_graphs import PIXELS, as_int8, build, conv, fully_connected, interpreter, lite, photos, quantize

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Mean, Unary
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.integer import run_integer
from edgenet.quantize.quantized_graph import dequantize_array
from edgenet.tflite.flatbuffer import ALIGNMENT, read_tflite, write_tflite
from edgenet.tflite.from_graph import float_program, int8_program, raw_program
from edgenet.tflite.to_graph import float_graph, quantized_graph

HERE = Path(__file__).parent
IMAGES = photos(5, SIZE, 2)


@pytest.fixture(scope="module")
def written() -> dict[str, bytes]:
    return files()


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(1).numpy()


def test_the_clients_layout(written: dict[str, bytes]) -> None:
    for name in ("float", "int8"):
        runner = interpreter(written[name])
        (source,), (target,) = runner.get_input_details(), runner.get_output_details()
        assert (source["name"], source["dtype"], list(source["shape"])) == ("image", np.uint8, [1, *SIZE, 3])
        assert source["quantization"] == (pytest.approx(PIXELS.scale), PIXELS.zero_point)
        assert (target["name"], target["dtype"], list(target["shape"])) == (
            "probability",
            np.float32,
            [1, CLASSES],
        )
        np.testing.assert_allclose(lite(written[name], IMAGES).sum(1), 1, atol=1e-5)


def test_the_float_file_gives_the_softmax_of_the_executor(written: dict[str, bytes]) -> None:
    np.testing.assert_allclose(lite(written["float"], IMAGES), softmax(run(network(), IMAGES)), atol=1e-5)


def test_the_int8_file_gives_the_softmax_of_the_integer_reading(written: dict[str, bytes]) -> None:
    quantized = quantized_network()
    logits = dequantize_array(run_integer(quantized, IMAGES), quantized.encodings[quantized.graph.output])
    np.testing.assert_allclose(lite(written["int8"], IMAGES), softmax(logits), atol=1e-6)


def test_the_integer_reading_is_exact_through_every_layer(written: dict[str, bytes]) -> None:
    np.testing.assert_array_equal(
        lite(written["raw"], as_int8(IMAGES)), run_integer(quantized_network(), IMAGES)
    )


@pytest.mark.parametrize("name", ["float", "int8"])
def test_the_signature(written: dict[str, bytes], name: str) -> None:
    runner = interpreter(written[name]).get_signature_runner("serving_default")
    assert list(runner.get_input_details()) == ["image"]
    result = runner(image=IMAGES[:1])
    np.testing.assert_array_equal(result["probability"], lite(written[name], IMAGES[:1]))


def test_the_number_of_operators() -> None:
    quantized = quantized_network()
    count = len(quantized.graph.nodes)
    assert len(raw_program(quantized).operators) == count
    assert len(float_program(quantized.graph).operators) == count + 2  # DEQUANTIZE in front, SOFTMAX behind
    program = int8_program(quantized)
    assert len(program.operators) == count + 4
    kinds = [operator.kind for operator in program.operators]
    assert kinds[:2] == ["DEQUANTIZE", "QUANTIZE"]
    assert kinds[-2:] == ["DEQUANTIZE", "SOFTMAX"]
    assert not {"DEQUANTIZE", "QUANTIZE", "SOFTMAX"} & set(kinds[2:-2])


def test_a_plain_network_is_one_partition() -> None:
    rng = np.random.default_rng(0)

    def make(builder: GraphBuilder, x: str) -> str:
        x = builder.add(Mean(False), [builder.add(conv(rng, 3, 8, (3, 3)), [x], "conv")], "mean")
        return builder.add(fully_connected(rng, 8, 4), [x], "logits")

    delegate = find_delegate(
        interpreter(write_tflite(int8_program(quantize(build(make), photos(2, (6, 6))))))
    )
    assert (delegate.nodes_taken, delegate.nodes_total, delegate.partitions) == (7, 7, 1)


@pytest.mark.parametrize("int8", [False, True])
def test_a_network_that_ends_in_a_sigmoid_gets_no_softmax(int8: bool) -> None:
    rng = np.random.default_rng(0)

    def make(builder: GraphBuilder, x: str) -> str:
        layer = builder.add(fully_connected(rng, 3, 4), [builder.add(Mean(False), [x], "mean")], "logits")
        return builder.add(Unary("sigmoid"), [layer], "scores")

    graph = build(make, SIZE)
    data = write_tflite(int8_program(quantize(graph, IMAGES)) if int8 else float_program(graph))
    assert [d["name"] for d in interpreter(data).get_output_details()] == ["probability"]
    np.testing.assert_allclose(lite(data, IMAGES), run(graph, IMAGES), atol=0.02 if int8 else 1e-5)


def test_buffers_start_at_multiples_of_16(written: dict[str, bytes]) -> None:
    for data in written.values():
        model = schema.Model.GetRootAs(data, 0)
        whole = np.frombuffer(data, np.uint8)
        for index in range(1, model.BuffersLength()):
            array = model.Buffers(index).DataAsNumpy()
            start = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
            assert start % ALIGNMENT == 0


def test_equal_input_gives_equal_bytes(written: dict[str, bytes]) -> None:
    quantized_network.cache_clear()
    assert files() == written


@pytest.mark.slow
def test_equal_bytes_in_another_process_with_another_hash_seed(written: dict[str, bytes]) -> None:
    expected = "".join(f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in written.items())
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    paths = os.pathsep.join((str(HERE.parent), str(HERE.parents[1])))
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
    command = [sys.executable, str(HERE / "every_layer.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == expected


def test_a_float_file_reads_back_as_the_graph(written: dict[str, bytes]) -> None:
    graph, again = network(), float_graph(read_tflite(written["float"], "it"))
    assert again.pixels is not None
    assert (np.float32(again.pixels.scale), again.pixels.zero_point) == (
        np.float32(PIXELS.scale),
        PIXELS.zero_point,
    )
    assert [type(node.operator) for node in again.nodes][:-1] == [type(node.operator) for node in graph.nodes]
    np.testing.assert_array_equal(run(again, IMAGES), softmax(run(graph, IMAGES)))


@pytest.mark.parametrize("name", ["int8", "raw"])
def test_an_int8_file_reads_back_as_the_same_integers(written: dict[str, bytes], name: str) -> None:
    quantized, again = quantized_network(), quantized_graph(read_tflite(written[name], "it"))
    for ours, theirs in zip(quantized.graph.nodes, again.graph.nodes, strict=True):
        assert type(ours.operator) is type(theirs.operator)
        assert quantized.encodings[ours.output] == again.encodings[theirs.output]
    for ours, theirs in zip(quantized.weights.values(), again.weights.values(), strict=True):
        np.testing.assert_array_equal(ours.values, theirs.values)
        np.testing.assert_array_equal(ours.scales, theirs.scales)
        np.testing.assert_array_equal(ours.bias, theirs.bias)
    np.testing.assert_array_equal(run_integer(again, IMAGES), run_integer(quantized, IMAGES))
    assert write_tflite(raw_program(again)) == write_tflite(
        raw_program(quantized_graph(read_tflite(written[name], "it")))
    )


def test_weights_behind_the_flatbuffer_are_read() -> None:
    plain = write_tflite(raw_program(quantized_network()))
    behind = with_weights_behind(plain)
    np.testing.assert_array_equal(lite(behind, as_int8(IMAGES)), lite(plain, as_int8(IMAGES)))
    again = quantized_graph(read_tflite(behind, "it"))
    np.testing.assert_array_equal(run_integer(again, IMAGES), run_integer(quantized_network(), IMAGES))


def test_weights_behind_the_flatbuffer_that_are_cut_off() -> None:
    """Such a file comes from a download that stopped."""
    behind = with_weights_behind(write_tflite(raw_program(quantized_network())))
    with pytest.raises(
        EdgenetError, match="it is damaged: a buffer reaches past its end; copy or convert it again"
    ):
        read_tflite(behind[:-300], "it")
