"""TensorFlow's SAME padding, and shapes that do not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_graphs import conv, depthwise, fully_connected, photos
from torch.nn import functional

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Affine, Concat, Mean, Operator, Pads, Pool, Reshape, Transpose
from edgenet.graph.lower import file_padding
from edgenet.graph.shapes import GraphBuilder, infer_shape, same_pads

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        # from tf.nn's documentation: 13 wide, kernel 6, stride 5 needs 3 more, one of them on the left
        ((13, 13), (6, 6), (5, 5), (1, 1), Pads(1, 2, 1, 2)),
        ((224, 224), (3, 3), (2, 2), (1, 1), Pads(0, 1, 0, 1)),
        ((225, 224), (3, 3), (2, 2), (1, 1), Pads(1, 1, 0, 1)),
        ((7, 7), (3, 3), (1, 1), (1, 1), Pads(1, 1, 1, 1)),
        ((7, 7), (3, 3), (1, 1), (2, 2), Pads(2, 2, 2, 2)),
        ((7, 7), (2, 4), (1, 1), (1, 1), Pads(0, 1, 1, 2)),
        ((7, 7), (1, 1), (2, 2), (1, 1), Pads(0, 0, 0, 0)),
        ((8, 8), (1, 2), (4, 4), (1, 1), Pads(0, 0, 0, 0)),
    ],
)
def test_same_padding(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    expected: Pads,
) -> None:
    operator = replace(conv(RNG, 3, 1, kernel), stride=stride, dilation=dilation)
    assert same_pads(size, operator) == expected


def test_same_padding_gives_as_many_positions_as_tensorflow_says() -> None:
    for n in range(1, 20):
        for kernel in range(1, 6):
            for stride in range(1, 5):
                pool = Pool("max", (kernel, kernel), (stride, stride))
                pads = same_pads((n, n), pool)
                assert infer_shape(Pool("max", pool.size, pool.stride, pads), [(1, n, n, 1)])[1] == -(
                    -n // stride
                )
                assert 0 <= pads.bottom - pads.top <= 1


def test_what_a_file_can_say() -> None:
    size = (8, 8)
    assert file_padding(conv(RNG, 3, 1, (3, 3), pads=Pads(1, 1, 1, 1)), size) == "SAME"
    assert file_padding(conv(RNG, 3, 1, (3, 3)), size) == "VALID"
    symmetric = conv(RNG, 3, 1, (3, 3), pads=Pads(1, 1, 1, 1))
    assert file_padding(replace(symmetric, stride=(2, 2)), size) is None


MISFITS: list[tuple[Operator, tuple[int, ...], str]] = [
    (
        conv(RNG, 4, 2, (1, 1)),
        (1, 5, 5, 3),
        r"a Conv2D with a weight \[2, 1, 1, 4\] got 3 channels in \[1, 5, 5, 3\]",
    ),
    (conv(RNG, 4, 2, (7, 1)), (1, 5, 5, 4), "a Conv2D with a 7x1 window got a 5x5 picture"),
    (depthwise(RNG, 4, (1, 1)), (1, 5, 5, 3), "a DepthwiseConv2D with a weight"),
    (fully_connected(RNG, 4, 2), (1, 3), r"a FullyConnected with a weight \[2, 4\] got 3 channels"),
    (
        Affine(np.ones(4, np.float32), np.zeros(4, np.float32)),
        (1, 1),
        "an Affine for 4 channels got a tensor",
    ),
    (Mean(), (1, 3), r"a Mean got a tensor \[1, 3\] with 2 axes"),
    (Transpose((0, 2, 1)), (1, 3), "a Transpose got a tensor"),
    (Reshape((1, 5)), (1, 3), r"a Reshape from \[1, 3\] to \[1, 5\] changes the number of values"),
    (Concat(4), (1, 5, 5, 3), "a Concat got a tensor"),
]


@pytest.mark.parametrize(("operator", "shape", "expected"), MISFITS, ids=lambda value: type(value).__name__)
def test_misfits_are_named(operator: Operator, shape: tuple[int, ...], expected: str) -> None:
    builder = GraphBuilder("small", "image", shape)
    with pytest.raises(EdgenetError, match=f"at node 'bad': {expected}"):
        builder.add(operator, ["image"], "bad")


def test_the_average_leaves_padding_out_of_its_count_as_torch_can() -> None:
    builder = GraphBuilder("small", "image", (1, 6, 7, 3))
    output = builder.add(Pool("average", (3, 3), (2, 2), Pads(1, 1, 1, 1)), ["image"], "pooled")
    images = photos(2, (6, 7))
    expected = functional.avg_pool2d(
        torch.from_numpy(images).permute(0, 3, 1, 2).float(), 3, 2, 1, count_include_pad=False
    )
    np.testing.assert_allclose(run(builder.graph(output), images), expected.permute(0, 2, 3, 1), rtol=1e-6)
