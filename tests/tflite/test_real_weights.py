"""Real ImageNet weights through the whole conversion: float against torch, int8 against LiteRT, the files' layout."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import prepare
from edgenet_device.runtime import find_delegate
from numpy.typing import NDArray
from small_graphs import as_int8, float_file, interpreter, lite, quantize

from edgenet.errors import EdgenetError
from edgenet.graph.executor import decode_pixels
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.graph.simplify import simplify
from edgenet.graph.torch_reader import read_torch
from edgenet.quantize.integer import run_integer
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import int8_program, raw_program
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.readers import load_network

CALIBRATION, CHECKED = 4, 16


@pytest.fixture(scope="module")
def images(shared_data: Path) -> NDArray[np.uint8]:
    """Return prepared ImageNet photos, uint8 [20, 224, 224, 3]."""
    with zipfile.ZipFile(shared_data / "imagenet-sample-500.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        step = len(names) // (CALIBRATION + CHECKED)
        picked = names[::step][: CALIBRATION + CHECKED]
        return np.stack([prepare(read_photo(archive.read(name)), 224)[0] for name in picked])


def read(network: LoadedNetwork) -> Graph:
    return simplify(read_torch(network.module, (224, 224), "network"), network.normalization)


def torch_logits(network: LoadedNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return network.module(
            network.normalization(torch.from_numpy(images).permute(0, 3, 1, 2).float())
        ).numpy()


class Converted:
    """A network with its graphs for float and int8."""

    def __init__(self, network: LoadedNetwork, images: NDArray[np.uint8]) -> None:
        self.network = network
        graph = read(network)
        self.float_graph: Graph = lower(graph, exact_border=True)
        self.quantized: QuantizedGraph = quantize(lower(graph, exact_border=False), images[:CALIBRATION])
        self.int8 = write_tflite(int8_program(self.quantized))

    def kinds(self) -> list[str]:
        """Return the operators of the clients' int8 file, in order."""
        return [operator.kind for operator in int8_program(self.quantized).operators]


@pytest.fixture(scope="module")
def v1(shared_data: Path, images: NDArray[np.uint8]) -> Converted:
    return Converted(load_network(shared_data / "mobilenet_v1_1.0_224_imagenet.npz"), images)


@pytest.fixture(scope="module")
def v2(images: NDArray[np.uint8]) -> Converted:
    try:
        network = load_network("mobilenet_v2_1.0_224")
    except EdgenetError as error:
        pytest.skip(f"no weights of MobileNetV2: {error}")
    return Converted(network, images)


def check_float(converted: Converted, images: NDArray[np.uint8]) -> None:
    graph = converted.float_graph
    logits = lite(float_file(graph), decode_pixels(graph, images).numpy())
    np.testing.assert_allclose(logits, torch_logits(converted.network, images), atol=1e-3, rtol=0)


def check_layout(kinds: list[str]) -> None:
    """Check that QUANTIZE and DEQUANTIZE stand only at both ends, and that there is no TRANSPOSE."""
    assert kinds[:2] == ["DEQUANTIZE", "QUANTIZE"]
    assert kinds[-2:] == ["DEQUANTIZE", "SOFTMAX"]
    assert not {"QUANTIZE", "DEQUANTIZE", "TRANSPOSE"} & set(kinds[2:-2])


def test_v1_float_logits_are_torchs(v1: Converted, images: NDArray[np.uint8]) -> None:
    check_float(v1, images[:4])


def test_v1_the_integer_reading_is_litert_on_every_logit(v1: Converted, images: NDArray[np.uint8]) -> None:
    checked = images[CALIBRATION:]
    in_litert = lite(write_tflite(raw_program(v1.quantized)), as_int8(checked))
    assert in_litert.shape == (CHECKED, 1001)
    np.testing.assert_array_equal(run_integer(v1.quantized, checked), in_litert)


def test_v1_int8_file_is_33_operators_in_one_partition(v1: Converted) -> None:
    kinds = v1.kinds()
    assert len(kinds) == 33
    assert "PAD" not in kinds
    check_layout(kinds)
    delegate = find_delegate(interpreter(v1.int8))
    assert (delegate.nodes_taken, delegate.nodes_total, delegate.partitions) == (33, 33, 1)
    assert len(v1.int8) < 4_700_000


def test_v1_int8_names_what_torch_names(v1: Converted, images: NDArray[np.uint8]) -> None:
    checked = images[CALIBRATION:]
    agree = lite(v1.int8, checked).argmax(1) == torch_logits(v1.network, checked).argmax(1)
    assert agree.sum() >= CHECKED - 2


def test_v2_float_logits_are_torchs(v2: Converted, images: NDArray[np.uint8]) -> None:
    check_float(v2, images[:4])


def test_v2_the_integer_reading_is_litert_on_every_logit(v2: Converted, images: NDArray[np.uint8]) -> None:
    checked = images[CALIBRATION : CALIBRATION + 8]
    in_litert = lite(write_tflite(raw_program(v2.quantized)), as_int8(checked))
    np.testing.assert_array_equal(run_integer(v2.quantized, checked), in_litert)


def test_v2_int8_file_has_at_most_five_pads_and_is_one_partition(v2: Converted) -> None:
    kinds = v2.kinds()
    assert len(kinds) <= 73
    assert kinds.count("PAD") <= 5
    check_layout(kinds)
    delegate = find_delegate(interpreter(v2.int8))
    assert (delegate.nodes_taken, delegate.partitions) == (len(kinds), 1)
