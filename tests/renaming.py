"""Graphs with the names that another tool would give to their parts."""

from __future__ import annotations

from dataclasses import replace

from edgenet.graph.ir import Graph
from edgenet.quantize.quantized_graph import QuantizedGraph


def renamed(graph: Graph, prefix: str = "model/tf.nn.") -> Graph:
    """Return the same graph with numbers for names."""
    names = {graph.input: "serving_default_input:0"}
    names |= {node.output: f"{prefix}{number}" for number, node in enumerate(graph.nodes)}
    nodes = tuple(
        replace(
            node,
            name=names[node.output],
            inputs=tuple(names[name] for name in node.inputs),
            output=names[node.output],
        )
        for node in graph.nodes
    )
    shapes = {names[name]: shape for name, shape in graph.shapes.items() if name in names}
    return replace(graph, nodes=nodes, input=names[graph.input], output=names[graph.output], shapes=shapes)


def renamed_file(quantized: QuantizedGraph) -> QuantizedGraph:
    """Return the same quantized graph under other names."""
    graph = renamed(quantized.graph)
    pairs = list(zip(quantized.graph.nodes, graph.nodes, strict=True))
    encodings = {graph.input: quantized.encodings[quantized.graph.input]}
    encodings |= {after.output: quantized.encodings[before.output] for before, after in pairs}
    weights = {
        after.name: quantized.weights[before.name]
        for before, after in pairs
        if before.name in quantized.weights
    }
    return QuantizedGraph(graph, encodings, weights)
