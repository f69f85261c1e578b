"""Files of other tools as sources: the float reading compared with LiteRT running the original, then int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from other_tools import FILES, SIZE, for_litert
from small_graphs import lite, photos, quantize

from edgenet.graph.executor import run
from edgenet.graph.ir import Affine, Transpose
from edgenet.graph.lower import lower
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import int8_program
from edgenet.workflows.sources import Source, SourceOptions, open_source, parse_normalization

IMAGES = photos(6, (SIZE, SIZE), 3)


def normalization(name: str) -> str | None:
    return {"casts_pixels": None, "scaling_inside": "0..255"}.get(name, "-1..1")


def opened(name: str, folder: Path) -> Source:
    path = folder / f"{name}.tflite"
    path.write_bytes(FILES[name]())
    return open_source(str(path), SourceOptions(normalization=normalization(name)))


def original(name: str) -> np.ndarray:
    """Return LiteRT's output for the photos with the unchanged file."""
    inputs: np.ndarray = IMAGES
    given = normalization(name)
    if given is not None:
        stated = parse_normalization(given)
        inputs = (IMAGES - np.float32(stated.mean)) / np.float32(stated.std)
    data = FILES[name]()
    return lite(data, for_litert(data, inputs)).reshape(len(IMAGES), -1)


@pytest.mark.parametrize("name", FILES)
def test_the_float_reading_equals_litert(name: str, tmp_path: Path) -> None:
    expected = original(name)
    assert expected.std(1).min() > 1e-3  # or else the comparison says nothing
    np.testing.assert_allclose(run(opened(name, tmp_path).graph, IMAGES), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FILES)
def test_int8_runs_in_litert_and_stays_close(name: str, tmp_path: Path) -> None:
    graph = lower(opened(name, tmp_path).graph, exact_border=False)
    scores = lite(write_tflite(int8_program(quantize(graph, IMAGES))), IMAGES)
    expected = torch.from_numpy(original(name)).softmax(1).numpy()
    np.testing.assert_allclose(scores, expected, atol=0.03)


@pytest.mark.parametrize("name", ["channels_first", "channels_first_flattened", "channels_first_largest"])
def test_no_transposes_are_left(name: str, tmp_path: Path) -> None:
    assert not any(isinstance(node.operator, Transpose) for node in opened(name, tmp_path).graph.nodes)


def test_a_networks_own_scaling_joins_the_normalization(tmp_path: Path) -> None:
    """Otherwise the padding of its first convolution would stand for black instead of the mean colour."""
    graph = opened("scaling_inside", tmp_path).graph
    assert graph.require_pixels().zero_point == 114  # the mean of ImageNet's three means, 113.8
    assert sum(isinstance(node.operator, Affine) for node in graph.nodes) == 1
