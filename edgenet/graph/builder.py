"""Builds a graph node by node; infers shapes and keeps names unique."""

from __future__ import annotations

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph, Node, PixelEncoding, Shape
from edgenet.graph.operators import Operator
from edgenet.graph.shapes import check_size, infer_shape


class GraphBuilder:
    """Collects the nodes of one `Graph`; the readers add to it."""

    def __init__(self, name: str, input_name: str, input_shape: Shape) -> None:
        self.name = name
        self.input = input_name
        self.shapes: dict[str, Shape] = {input_name: input_shape}
        self.nodes: list[Node] = []

    def add(self, operator: Operator, inputs: list[str], name: str) -> str:
        """Add one node and return the name of the tensor it produces: `name`, numbered if taken.

        Raises:
            EdgenetError: the inputs' shapes do not fit the operator, or the result is empty or too large.
        """
        output = self.unique(name)
        try:
            self.shapes[output] = infer_shape(operator, [self.shapes[tensor] for tensor in inputs])
            check_size(self.shapes[output])
        except EdgenetError as error:
            raise EdgenetError(f"at node '{name}': {error.found}", error.remedy) from None
        self.nodes.append(Node(output, operator, tuple(inputs), output))
        return output

    def unique(self, name: str) -> str:
        """Return `name`, or `name` with numbers appended until no tensor has it."""
        candidate, number = name, 1
        while candidate in self.shapes:
            candidate, number = f"{name}_{number}", number + 1
        return candidate

    def graph(self, output: str, pixels: PixelEncoding | None = None) -> Graph:
        """Return the finished graph."""
        return Graph(self.name, tuple(self.nodes), self.input, output, dict(self.shapes), pixels)
