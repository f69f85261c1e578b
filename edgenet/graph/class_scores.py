"""How a network ends: the softmax that the file adds itself is removed, and a single score becomes two classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.errors import EdgenetError
from edgenet.graph.ir import (
    Activation,
    Conv2D,
    FullyConnected,
    Graph,
    Node,
    Reshape,
    Softmax,
    Unary,
    drop_unused,
)


def drop_final_softmax(graph: Graph) -> Graph:
    """Remove a softmax or its logarithm at the end, so that the graph gives logits: the file adds a float softmax.

    The softmax of a softmax's logarithm is that softmax, so the file's scores are the network's in both cases.

    Raises:
        EdgenetError: the softmax is over a single value, and so always 1.
    """
    producers, uses = graph.producers(), graph.uses()
    reader, node = None, producers.get(graph.output)
    while node and isinstance(node.operator, Reshape) and uses[node.output] == 1:
        reader, node = node, producers.get(node.inputs[0])
    if node is None or not isinstance(node.operator, Softmax) or uses[node.output] > 1:
        return graph
    if graph.classes == 1:
        raise EdgenetError(
            "the network ends in a softmax over a single value, which is 1 for every picture",
            "end it in a sigmoid or in the bare logit",
        )
    if reader is None:
        return drop_unused(replace(graph, output=node.inputs[0]))
    if graph.shapes[node.output][-1] != graph.classes:
        return graph
    logits = replace(reader, inputs=node.inputs)
    return drop_unused(graph.with_nodes(logits if n is reader else n for n in graph.nodes))


def two_classes(graph: Graph) -> Graph:
    """Turn the single score of a binary classifier into logits of two classes, [negative, positive].

    The score is a sigmoid, or a bare logit x as BCEWithLogitsLoss trains it. The new logits are [0, x]: their softmax
    is [1 - sigmoid(x), sigmoid(x)]. The last layer gets a second output that is always 0.
    """
    if graph.classes != 1:
        return graph
    graph = _without_sigmoid(graph)
    chain = [graph.producers()[graph.output]]
    while isinstance(chain[-1].operator, Reshape) and graph.uses()[chain[-1].inputs[0]] == 1:
        before = graph.producers().get(chain[-1].inputs[0])
        if before is None:
            break
        chain.append(before)
    layer = chain[-1].operator
    if (
        isinstance(layer, FullyConnected | Conv2D)
        and layer.activation is Activation.NONE
        and len(layer.bias) == 1
    ):
        return _with_zero_output(graph, chain)
    select = FullyConnected(np.array([[0], [1]], np.float32), np.zeros(2, np.float32))
    name = graph.unused_name("two_classes")
    shapes = {**graph.shapes, name: (1, 2)}
    added = Node(name, select, (graph.output,), name)
    return replace(graph, nodes=(*graph.nodes, added), output=name, shapes=shapes)


def made_two_classes(graph: Graph) -> bool:
    """Return whether the graph ends in the two logits [0, x] that `two_classes` makes."""
    producers = graph.producers()
    last = producers.get(graph.output)
    while last is not None and isinstance(last.operator, Reshape):
        last = producers.get(last.inputs[0])
    if last is None or not isinstance(last.operator, FullyConnected | Conv2D) or graph.classes != 2:
        return False
    return not last.operator.weight[0].any() and last.operator.bias[0] == 0


def _without_sigmoid(graph: Graph) -> Graph:
    """Remove a sigmoid at the end, also before Reshapes."""
    reader, node = None, graph.producers()[graph.output]
    while isinstance(node.operator, Reshape) and node.inputs[0] in graph.producers():
        reader, node = node, graph.producers()[node.inputs[0]]
    if node.operator != Unary("sigmoid") or graph.uses()[node.output] > 1:
        return graph
    if reader is None:
        return drop_unused(replace(graph, output=node.inputs[0]))
    logit = replace(reader, inputs=node.inputs)
    return drop_unused(graph.with_nodes(logit if n is reader else n for n in graph.nodes))


def _with_zero_output(graph: Graph, chain: list[Node]) -> Graph:
    """Give the last layer, at the end of `chain`, a first output that is 0; the Reshapes before it get two values."""
    *reshapes, last = chain
    operator = last.operator
    assert isinstance(operator, FullyConnected | Conv2D)
    weight = np.concatenate([np.zeros_like(operator.weight), operator.weight])
    bias = np.concatenate([np.zeros_like(operator.bias), operator.bias])
    changed = {last.name: replace(last, operator=replace(operator, weight=weight, bias=bias))}
    shapes = {last.output: (*graph.shapes[last.output][:-1], 2)}
    for node in reshapes:
        shapes[node.output] = (*graph.shapes[node.output][:-1], 2)
        changed[node.name] = replace(node, operator=Reshape(shapes[node.output]))
    return graph.with_nodes((changed.get(node.name, node) for node in graph.nodes), shapes)
