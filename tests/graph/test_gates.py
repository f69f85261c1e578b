"""Squeeze-and-excite gates fold into the layers around them: the same function with fewer operators."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import Make, build, conv, photos

from edgenet.graph.executor import run
from edgenet.graph.fold import fuse_activations
from edgenet.graph.ir import Activation, Binary, Conv2D, DepthwiseConv2D, Graph, Mean, Operator, Unary
from edgenet.graph.lower import lower_affine, lower_gates
from edgenet.graph.shapes import GraphBuilder

RNG = np.random.default_rng(0)
RELU6 = Activation.RELU6


def gated(behind: list[Operator], square: bool = False) -> Make:
    """Multiply x, or the gate itself, by the gate that the means of x decide, and read the product."""

    def make(builder: GraphBuilder, x: str) -> str:
        decided = builder.add(conv(RNG, 5, 5, (1, 1)), [builder.add(Mean(), [x], "mean")], "expand")
        gate = builder.add(Unary("hard_sigmoid"), [decided], "gate")
        product = builder.add(Binary("mul"), [gate if square else x, gate], "product")
        for operator in behind:
            product = builder.add(operator, [product], "behind")
        return product

    return make


def lowered(graph: Graph) -> list[Operator]:
    """Return the operators after the first layer of the lowered graph, and check that it computes the same."""
    after = fuse_activations(lower_affine(lower_gates(graph)))
    images = photos(4, graph.size)
    np.testing.assert_allclose(run(after, images), run(graph, images), atol=1e-4)
    assert after.shapes.keys() == {after.input, *(node.output for node in after.nodes)}
    return [node.operator for node in after.nodes][1:]


def test_a_gate_before_a_convolution_costs_nothing() -> None:
    mean, expand, product, project = lowered(build(gated([conv(RNG, 5, 3, (1, 1))]), channels=5))
    assert isinstance(mean, Mean)
    assert isinstance(expand, Conv2D)
    assert expand.activation is RELU6
    assert product == Binary("mul")
    assert isinstance(project, Conv2D)


def test_padding_does_not_keep_the_scale_from_the_layer_behind() -> None:
    same = conv(RNG, 5, 3, (3, 3))
    padded = Conv2D(same.weight, same.bias, pads=same.pads._replace(top=1, left=1))
    kinds = [type(operator) for operator in lowered(build(gated([padded]), channels=5))]
    assert kinds == [Mean, Conv2D, Binary, Conv2D]


@pytest.mark.parametrize(
    ("behind", "square"), [([], False), ([Mean()], False), ([conv(RNG, 5, 3, (1, 1))], True)]
)
def test_the_scale_stays_where_no_layer_takes_it(behind: list[Operator], square: bool) -> None:
    operators = lowered(build(gated(behind, square), channels=5))
    kinds = [type(operator) for operator in operators[:4]]
    assert kinds == [Mean, Conv2D, DepthwiseConv2D, Binary]


def test_a_gate_read_twice_keeps_its_scale() -> None:
    def make(builder: GraphBuilder, x: str) -> str:
        gate = builder.add(Unary("hard_sigmoid"), [x], "gate")
        product = builder.add(Binary("mul"), [x, gate], "product")
        read = builder.add(conv(RNG, 5, 5, (1, 1)), [product], "read")
        return builder.add(Binary("add"), [read, gate], "sum")

    assert DepthwiseConv2D in [type(operator) for operator in lowered(build(make, channels=5))]


def test_graphs_without_gates_are_left_alone() -> None:
    graph = build(lambda b, x: b.add(Mean(False), [x], "mean"), channels=5)
    assert lower_gates(graph) is graph
