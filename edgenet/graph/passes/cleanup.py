"""Removes superfluous nodes: unused ones, repeated reshapes and concatenations, and the final softmax."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import Concat, Mean, Reshape, Softmax


def drop_unused(graph: Graph) -> Graph:
    """Remove the nodes that the output does not depend on."""
    needed, nodes = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            nodes.append(node)
    return graph.with_nodes(reversed(nodes))


def merge_reshapes(graph: Graph) -> Graph:
    """Merge each Reshape with the Reshape or Mean before it, and remove each that keeps the shape."""
    for name in [node.name for node in graph.nodes if isinstance(node.operator, Reshape)]:
        graph = _merge_reshape(graph, next(node for node in graph.nodes if node.name == name))
    return drop_unused(graph)


def _merge_reshape(graph: Graph, node: Node) -> Graph:
    source, shape = node.inputs[0], graph.shapes[node.output]
    before = graph.producers().get(source)
    rest = [n for n in graph.nodes if n is not node]
    if shape == graph.shapes[source] and node.output != graph.output:
        return graph.with_nodes(
            replace(n, inputs=tuple(source if i == node.output else i for i in n.inputs)) for n in rest
        )
    if before and isinstance(before.operator, Reshape):
        joined = replace(node, inputs=before.inputs)
        return graph.with_nodes(joined if n is node else n for n in graph.nodes)
    vector = len(shape) == 2 and shape[0] == 1
    if before and isinstance(before.operator, Mean) and vector and graph.uses()[source] == 1:
        mean = replace(before, operator=Mean(keep_dims=False), output=node.output)
        return graph.with_nodes(mean if n is before else n for n in rest)
    return graph


def merge_concats(graph: Graph) -> Graph:
    """Merge each Concat with the Concats before it that use the same axis and have no other reader."""
    uses, made = graph.uses(), graph.producers()
    for node in graph.nodes:
        if isinstance(node.operator, Concat):
            parts = [_parts(made.get(name), node.operator, name, uses) for name in node.inputs]
            made[node.output] = replace(node, inputs=tuple(chain.from_iterable(parts)))
    return drop_unused(graph.with_nodes(made.values()))


def _parts(before: Node | None, operator: Concat, name: str, uses: Counter[str]) -> tuple[str, ...]:
    """Return the inputs of the Concat that makes `name` if it can be merged, else `name` alone."""
    if before is None or before.operator != operator or uses[name] > 1:
        return (name,)
    return before.inputs


def drop_final_softmax(graph: Graph) -> Graph:
    """Remove a softmax at the end, so that the graph gives logits; the file's layout adds a float softmax."""
    producers, uses = graph.producers(), graph.uses()
    reader, node = None, producers.get(graph.output)
    while node and isinstance(node.operator, Reshape) and uses[node.output] == 1:
        reader, node = node, producers.get(node.inputs[0])
    if node is None or not isinstance(node.operator, Softmax) or uses[node.output] > 1:
        return graph
    if reader is None:
        return drop_unused(replace(graph, output=node.inputs[0]))
    if graph.shapes[node.output][-1] != graph.classes:
        return graph
    logits = replace(reader, inputs=node.inputs)
    return drop_unused(graph.with_nodes(logits if n is reader else n for n in graph.nodes))
