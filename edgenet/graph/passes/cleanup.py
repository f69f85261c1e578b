"""Removing what does nothing: unused nodes, reshapes of reshapes, the scores' softmax."""

from __future__ import annotations

from dataclasses import replace

from edgenet.graph.ir import Graph
from edgenet.graph.operators import Mean, Reshape, Softmax


def drop_unused(graph: Graph) -> Graph:
    """Removes nodes whose result nobody reads."""
    needed, nodes = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            nodes.append(node)
    return graph.with_nodes(reversed(nodes))


def merge_reshapes(graph: Graph) -> Graph:
    """Joins a Reshape with the Reshape or the Mean before it, and removes one that changes nothing."""
    for node in graph.nodes:
        if not isinstance(node.operator, Reshape):
            continue
        source = node.inputs[0]
        before = graph.producers().get(source)
        shape = graph.shapes[node.output]
        if shape == graph.shapes[source] and node.output != graph.output:
            rest = [n for n in graph.nodes if n is not node]
            graph = graph.with_nodes(
                replace(n, inputs=tuple(source if i == node.output else i for i in n.inputs)) for n in rest
            )
        elif before and isinstance(before.operator, Reshape):
            joined = replace(node, inputs=before.inputs)
            graph = graph.with_nodes(joined if n is node else n for n in graph.nodes)
        elif before and isinstance(before.operator, Mean) and len(shape) == 2 and graph.uses()[source] == 1:
            mean = replace(before, operator=Mean(keep_dims=False), output=node.output)
            graph = graph.with_nodes(mean if n is before else n for n in graph.nodes if n is not node)
    return drop_unused(graph)


def drop_final_softmax(graph: Graph) -> Graph:
    """Lets the graph end in its logits; the file's layout adds the softmax in float."""
    last = graph.producers()[graph.output]
    if not isinstance(last.operator, Softmax):
        return graph
    return drop_unused(replace(graph, output=last.inputs[0]))
