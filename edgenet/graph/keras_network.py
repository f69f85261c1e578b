"""Recognizes a Keras model as one of our networks, so that a training can start from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgenet.files import json_beside
from edgenet.graph.executor import run
from edgenet.graph.fold import absorb_scaling
from edgenet.graph.ir import WEIGHTED, Conv2D, DepthwiseConv2D, FullyConnected, Graph
from edgenet.graph.keras_reader import read_keras
from edgenet.graph.simplify import simplify
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import SLIM, Normalization
from edgenet.zoo.ordered_layers import FinishedFile, OrderedLayer, network_of

PIXELS = Normalization((0.0,) * 3, (1.0,) * 3)


def load_keras_network(path: Path) -> LoadedNetwork:
    """Return the network of ours that a Keras model is, with its weights and folded batch normalization.

    A model that does not scale its picture itself is taken to expect -1..1, as Keras' own MobileNets and Teachable
    Machine have it; the network's `assumed` says so.

    Args:
        path: a .h5, a .keras, or the model.json of TensorFlow.js.

    Raises:
        EdgenetError: the file cannot be read (see `read_keras`), or holds none of our networks.
    """
    read = read_keras(path)
    graph, exact = absorb_scaling(read.graph, PIXELS if read.scales_pixels else SLIM)
    normalization = Normalization(_rounded(exact.mean), _rounded(exact.std))
    pixels = simplify(graph, normalization)

    def scores(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        return torch.from_numpy(run(pixels, picture[None])[0]).softmax(0).numpy()

    teachable = "teachablemachine" in str(json_beside(path, "metadata.json").get("packageName", "")).lower()
    assumed = () if read.scales_pixels or teachable else (NOT_STATED,)
    layers = _ordered(simplify(graph, None))
    return network_of(FinishedFile(path, layers, graph.size, normalization, scores, (), assumed))


def _rounded(values: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return a mean or deviation without the last digits, which float32 made of 1 / 127.5."""
    red, green, blue = (round(value, 3) for value in values)
    return red, green, blue


NOT_STATED = (
    "the model does not say how its photos were prepared in training: the normalization -1..1 is assumed"
)


def _ordered(graph: Graph) -> list[OrderedLayer]:
    """Return the layers of a simplified graph that have weights, in torch's layout."""
    layers = []
    for node in graph.nodes:
        operator = node.operator
        if not isinstance(operator, WEIGHTED):
            continue
        assert isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected)
        weights = torch.from_numpy(np.array(operator.weight, np.float32))
        if isinstance(operator, Conv2D):
            weights = weights.permute(0, 3, 1, 2)
        elif isinstance(operator, DepthwiseConv2D):
            weights = weights.permute(3, 0, 1, 2)
        layers.append(
            OrderedLayer(weights.contiguous(), torch.from_numpy(np.array(operator.bias, np.float32)))
        )
    return layers
