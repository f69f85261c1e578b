"""Every architecture as a float and an int8 file: LiteRT computes what torch and the integer execution compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from edgenet_device.runtime import find_delegate
from small_graphs import as_int8, lite
from small_network import PHOTOS, small_network
from torch import nn

from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.graph.simplify import simplify
from edgenet.graph.torch_reader import read_torch
from edgenet.progress import silent
from edgenet.quantize.integer import run_integer
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import float_program, int8_program, raw_program
from edgenet.workflows.convert import convert
from edgenet.zoo import classic
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.registry import ARCHITECTURES

# Narrow where that can be, at a small resolution.
SMALL = {
    "mobilenet_v1": (0.25, 32),
    "mobilenet_v2": (0.35, 32),
    "mobilenet_v3_large": (0.35, 32),
    "mobilenet_v3_large_minimalistic": (0.35, 32),
    "mobilenet_v3_small": (0.35, 45),
    "mobilenet_v3_small_minimalistic": (0.35, 32),
    "mobilenet_v4_conv_small": (0.35, 32),
    "mobilenet_v4_conv_medium": (0.35, 32),
    "efficientnet_lite0": (1.0, 32),
    "mobilenet_full": (0.25, 32),
    "mobilenet_shallow": (0.25, 32),
    "squeezenet": (1.0, 48),
    "googlenet": (1.0, 40),
}
LARGE = {"alexnet": (1.0, 67), "vgg16": (1.0, 32), "inception_v3": (1.0, 75), "xception": (1.0, 47)}
# Deeper than another one, of the very blocks of which they are made.
DEEPER = {"mobilenet_v4_conv_large", *(f"efficientnet_lite{number}" for number in (1, 2, 3, 4))}
EVERY = [
    *(pytest.param(name, *how, id=name) for name, how in SMALL.items()),
    *(pytest.param(name, *how, id=name, marks=pytest.mark.slow) for name, how in LARGE.items()),
]
# Made of the very blocks of a smaller one, which stands for them where minutes count.
LIKE_ANOTHER = {
    "mobilenet_v3_large",
    "mobilenet_v3_large_minimalistic",
    "mobilenet_v4_conv_medium",
    "efficientnet_lite0",  # of MobileNetV2's
}
# `balanced` takes half a minute for their large convolutions, and SqueezeNet has the same operators.
LARGE_WEIGHTS = {"googlenet", "mobilenet_full"}
# LiteRT's XNNPACK has no int8 average pooling.
IN_PARTS = {"inception_v3"}


def photos(resolution: int, count: int) -> np.ndarray:
    return load_all(open_photos(PHOTOS), resolution).images[:count]


def read(network: LoadedNetwork) -> Graph:
    size = (network.variant.resolution, network.variant.resolution)
    return simplify(read_torch(network.module, size, network.variant.name), network.normalization)


def scores(file: bytes, images: np.ndarray) -> np.ndarray:
    """Return the scores of a file that takes uint8 photos, photo by photo."""
    interpreter = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(target["index"])[0])
    return np.array(found)


def test_no_architecture_is_left_out() -> None:
    assert {*SMALL, *LARGE, *DEEPER} == set(ARCHITECTURES)


@pytest.mark.parametrize(("architecture", "width", "resolution"), EVERY)
def test_float_is_torch_and_int8_is_the_integer_reading(
    architecture: str, width: float, resolution: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classic, "HIDDEN", 256)  # instead of hundreds of MB of fully connected layers
    network = small_network(architecture, width, resolution=resolution)
    graph, images = read(network), photos(resolution, 20)
    pixels = torch.from_numpy(images[:4]).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        expected = network.with_pixels()(pixels).softmax(1).numpy()
    found = scores(write_tflite(float_program(lower(graph, exact_border=True))), images[:4])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    quantized = RECIPES["minmax"].quantize(lower(graph, exact_border=False), images[:16], silent)
    in_litert = lite(write_tflite(raw_program(quantized)), as_int8(images[16:]))
    np.testing.assert_array_equal(run_integer(quantized, images[16:]), in_litert)
    assert len({tuple(logits) for logits in in_litert.tolist()}) > 1
    whole = Interpreter(model_content=write_tflite(int8_program(quantized)), num_threads=1)
    whole.allocate_tensors()
    delegate = find_delegate(whole)
    assert (delegate.nodes_taken == delegate.nodes_total) == (architecture not in IN_PARTS)


def quiet(network: LoadedNetwork, images: np.ndarray) -> None:
    """Scale the last layer so that logits are small: a softmax of large ones is 1 and 0s for every photo."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    last = [module for module in network.module.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    with torch.no_grad():
        spread = network.with_pixels()(pixels).std()
        for parameter in last.parameters():
            parameter.div_(spread)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "width", "resolution"),
    [(name, *how) for name, how in SMALL.items() if name not in LIKE_ANOTHER],
)
def test_convert_makes_files_that_litert_runs(
    architecture: str, width: float, resolution: int, tmp_path: Path
) -> None:
    source, out = tmp_path / "network.safetensors", tmp_path / "network.tflite"
    network = small_network(architecture, width, resolution=resolution)
    quiet(network, photos(resolution, 4))
    save_checkpoint(source, network)
    recipe = "fast" if architecture in LARGE_WEIGHTS else "balanced"
    made = convert(str(source), out, calibration=PHOTOS, photos=12, recipe=recipe)
    assert made.quantization is not None
    found = scores(out.read_bytes(), photos(resolution, 4))
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-3)
    assert len({tuple(row) for row in found.tolist()}) > 1
