"""Gives tensors and nodes readable names: those of the modules that they come from."""

from __future__ import annotations

import re
from dataclasses import replace

from edgenet.graph.ir import Graph

OPERATOR_SUFFIX = re.compile(r"/[A-Z][A-Za-z]*(_\d+)?$")


def name_after_modules(graph: Graph) -> Graph:
    """Name every node and its tensor after its module's path: "features.0/conv", not ".../activation/Clip".

    Exporters repeat a module's name in its children ("features/features.0") and append the operator's name;
    both are removed.
    """
    names: dict[str, str] = {graph.input: graph.input}
    taken = {graph.input}
    for node in graph.nodes:
        name, number = _short(node.name), 1
        while name in taken:
            number += 1
            name = f"{_short(node.name)}_{number}"
        taken.add(name)
        names[node.output] = name
    nodes = tuple(
        replace(
            node,
            name=names[node.output],
            inputs=tuple(names[i] for i in node.inputs),
            output=names[node.output],
        )
        for node in graph.nodes
    )
    shapes = {names[name]: shape for name, shape in graph.shapes.items() if name in names}
    return replace(graph, nodes=nodes, output=names[graph.output], shapes=shapes)


def _short(name: str) -> str:
    parts = OPERATOR_SUFFIX.sub("", name).split("/")
    kept = [
        part for part, child in zip(parts, [*parts[1:], ""], strict=True) if not child.startswith(f"{part}.")
    ]
    return "/".join(kept)
