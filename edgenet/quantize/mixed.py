"""Mixed precision: some layers of a quantized graph back in float32.

It works on what any recipe made. A layer that is kept in float has the weights of the quantized graph's own operators,
which equalization may have scaled; what lies between such layers is computed in float too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from edgenet.graph.ir import Graph
from edgenet.graph.operators import WEIGHTED
from edgenet.quantize.encodings import QuantizedGraph


def keep_float(quantized: QuantizedGraph, layers: Iterable[str]) -> QuantizedGraph:
    """The same graph with these weighted nodes, and those that it keeps in float already, in float32.

    Args:
        layers: names of weighted nodes.
    """
    graph = quantized.graph
    wanted = {*layers, *float_layers(quantized)}
    if not wanted:
        return quantized
    floats = _float_nodes(graph, wanted)
    int8 = _int8_tensors(graph, floats)
    return replace(
        quantized,
        encodings={name: encoding for name, encoding in quantized.encodings.items() if name in int8},
        weights={name: weights for name, weights in quantized.weights.items() if name not in floats},
        kept_float=floats,
    )


def float_layers(quantized: QuantizedGraph) -> tuple[str, ...]:
    """The weighted nodes that are float, in the order of the graph."""
    return tuple(name for name in weighted_layers(quantized.graph) if name in quantized.kept_float)


def weighted_layers(graph: Graph) -> tuple[str, ...]:
    """The nodes that have weights, in the order of the graph."""
    return tuple(node.name for node in graph.nodes if isinstance(node.operator, WEIGHTED))


def layers_around(graph: Graph, name: str) -> tuple[str, ...]:
    """The layers that must be float so that what a node makes is float wherever it is read, in the order of the graph.

    A layer that alone is float spares its weights the rounding; what it makes is still rounded for its readers.

    Args:
        name: of a node; of the input, which is always int8, there are none.
    """
    made = next((node.output for node in graph.nodes if node.name == name), None)
    if made is None:
        return ()
    layers, neighbours = weighted_layers(graph), _neighbours(graph)
    found: set[str] = set()
    wanted = {name, *(node.name for node in graph.nodes if made in node.inputs)}
    while wanted:
        found |= wanted
        # other nodes than layers are float only where all their neighbours are
        wanted = {near for node in wanted if node not in layers for near in neighbours[node]} - found
    return tuple(layer for layer in layers if layer in found)


def _neighbours(graph: Graph) -> dict[str, set[str]]:
    """For every node those that make what it reads or read what it makes."""
    makers = {node.output: node.name for node in graph.nodes}
    found: dict[str, set[str]] = {node.name: set() for node in graph.nodes}
    for node in graph.nodes:
        for source in (makers[name] for name in node.inputs if name in makers):
            found[node.name].add(source)
            found[source].add(node.name)
    return found


def _float_nodes(graph: Graph, layers: set[str]) -> frozenset[str]:
    """The layers, and the other nodes all of whose neighbours are float.

    The picture is there in both forms and the scores are wanted in float, so neither stands in the way.
    """
    neighbours = _neighbours(graph)
    carriers = {node.name for node in graph.nodes} - set(weighted_layers(graph))
    floats = layers | carriers
    while outside := {name for name in floats - layers if not neighbours[name] <= floats}:
        floats -= outside
    return frozenset(floats)


def _int8_tensors(graph: Graph, floats: frozenset[str]) -> set[str]:
    """The input, and what int8 nodes make or read."""
    int8 = [node for node in graph.nodes if node.name not in floats]
    return {graph.input, *(node.output for node in int8), *(name for node in int8 for name in node.inputs)}
