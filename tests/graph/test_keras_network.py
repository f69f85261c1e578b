"""Keras models of our networks, in all three formats, are recognized, and a training can start from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_keras import (
    RESCALING,
    Layer,
    Weights,
    layer,
    sequential,
    weights,
    write_h5,
    write_keras,
    write_tfjs,
)
from small_keras import layers as small_layers
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.training.starting import StartingWeights, load_keras_network, load_weights, pretrained_network
from edgenet.zoo.classifier import SLIM, NetworkOptions
from edgenet.zoo.mobilenet_v1 import BLOCKS
from edgenet.zoo.registry import build_with, parse_variant

SIDE, CLASSES = 32, 5
NETWORK = "mobilenet_v1_0.25_32"


def convolution(kind: str, name: str, stride: int, filters: int) -> list[Layer]:
    """Return a convolution, its batch normalization and ReLU6, as Keras' MobileNet has them."""
    size = [1, 1] if name.endswith("pointwise") else [3, 3]
    counted = {"filters": filters} if kind == "Conv2D" else {}
    return [
        layer(
            kind, name, kernel_size=size, strides=[stride, stride], padding="same", use_bias=False, **counted
        ),
        layer("BatchNormalization", f"{name}_norm", axis=[3], epsilon=1e-3),
        layer("ReLU", f"{name}_relu", max_value=6.0),
    ]


def kernel(tensor: Tensor, depthwise: bool = False) -> np.ndarray:
    """Return torch's weights in Keras' order."""
    return tensor.permute(*((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))).numpy()


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    module = build_with(parse_variant(NETWORK), NetworkOptions(CLASSES, normalization=SLIM)).eval()
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.running_mean, 0, 0.2)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    return module


@pytest.fixture(scope="module")
def as_keras(network: torch.nn.Module) -> tuple[list[Layer], Weights]:
    """The network's layers without the input, and its weights by layer."""
    state, layers, given = network.state_dict(), [], {}
    places = [("features.0", "conv1", 2, "Conv2D")]
    for index, (_, stride) in enumerate(BLOCKS, start=1):
        places.append((f"features.{index}.depthwise", f"conv{index}_depthwise", stride, "DepthwiseConv2D"))
        places.append((f"features.{index}.pointwise", f"conv{index}_pointwise", 1, "Conv2D"))
    for ours, name, stride, kind in places:
        weight = state[f"{ours}.conv.weight"]
        layers += convolution(kind, name, stride, len(weight))
        depthwise = kind == "DepthwiseConv2D"
        given[name] = {"depthwise_kernel" if depthwise else "kernel": kernel(weight, depthwise)}
        ends = {
            "gamma": "weight",
            "beta": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        }
        given[f"{name}_norm"] = {theirs: state[f"{ours}.norm.{end}"].numpy() for theirs, end in ends.items()}
    given["scores"] = {
        "kernel": state["classifier.weight"].T.numpy(),
        "bias": state["classifier.bias"].numpy(),
    }
    head = [
        layer("GlobalAveragePooling2D", "pool"),
        layer("Dense", "scores", units=CLASSES, activation="softmax"),
    ]
    return [*layers, *head], given


def model_of(layers: list[Layer], first: tuple[Layer, ...] = ()) -> Layer:
    return sequential(
        [layer("InputLayer", "input", batch_input_shape=[None, SIDE, SIDE, 3]), *first, *layers]
    )


WRITERS = {"h5": write_h5, "keras": write_keras, "tfjs": write_tfjs}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_network_and_its_results_are_those_of_the_file(
    kind: str, network: torch.nn.Module, as_keras: tuple[list[Layer], Weights], tmp_path: Path
) -> None:
    path = tmp_path if kind == "tfjs" else tmp_path / f"model.{kind}"
    path = WRITERS[kind](path, model_of(as_keras[0], (RESCALING,)), as_keras[1])
    loaded = load_weights(str(path))
    assert (loaded.variant.name, len(loaded.labels), loaded.normalization) == (NETWORK, CLASSES, SLIM)
    assert loaded.assumed == ()
    pixels = torch.rand(1, 3, SIDE, SIDE) * 255
    with torch.no_grad():
        ours, theirs = loaded.with_pixels()(pixels), network((pixels - 127.5) / 127.5)
    assert float((ours - theirs).abs().max()) <= 1e-4 * float(theirs.abs().max())


def test_a_training_takes_a_new_head_and_says_what_was_assumed(
    as_keras: tuple[list[Layer], Weights], tmp_path: Path
) -> None:
    path = write_h5(tmp_path / "model.h5", model_of(as_keras[0]), as_keras[1])
    found = pretrained_network(
        parse_variant("mobilenet_v1_0.25_64"), ("a", "b"), StartingWeights(str(path)), 0
    )
    assert found.variant.name == "mobilenet_v1_0.25_64"
    assert found.module.options.classes == 2
    assert found.assumed == (
        "the model does not say how its photos were prepared in training: the normalization -1..1 is assumed",
    )
    with pytest.raises(EdgenetError, match=r"says itself what its network is; leave out --architecture"):
        load_weights(str(path), None, "mobilenet_v1")


def test_a_network_with_our_shapes_that_computes_something_else_is_refused(
    as_keras: tuple[list[Layer], Weights], tmp_path: Path
) -> None:
    other = [
        layer("Activation", one["config"]["name"], activation="tanh") if one["class_name"] == "ReLU" else one
        for one in as_keras[0]
    ]
    path = write_h5(tmp_path / "model.h5", model_of(other), as_keras[1])
    with pytest.raises(EdgenetError, match=r"has 28 layers with weights, and is none of the networks"):
        load_keras_network(path)


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "model.h5", sequential(small_layers()), weights())
    with pytest.raises(EdgenetError, match=r"has 2 layers with weights, .* `edgenet convert` takes it"):
        load_keras_network(path)
