"""The graph: nodes in the order of their work, one input picture, one output vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count

from edgenet.graph.operators import Operator

Shape = tuple[int, ...]


@dataclass(frozen=True)
class PixelEncoding:
    """What a uint8 pixel q means to the network: scale * (q - zero_point)."""

    scale: float = 1.0
    zero_point: int = 0


@dataclass(frozen=True)
class Node:
    """One step: an operator, the tensors it reads and the one tensor it makes."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Graph:
    """A classifier in NHWC.

    Attributes:
        name: for people and for the file's metadata.
        nodes: in topological order; every tensor is made once.
        input: the tensor [1, H, W, 3] that holds the decoded pixels (see `pixels`).
        output: the tensor [1, N] of logits (or of scores, where the network ends in an activation).
        shapes: the shape of every tensor, for a batch of one.
        pixels: how uint8 RGB pixels become the input's numbers; None before the normalization was put in front,
            when the input takes normalized numbers.
    """

    name: str
    nodes: tuple[Node, ...]
    input: str
    output: str
    shapes: Mapping[str, Shape]
    pixels: PixelEncoding | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        _, height, width, _ = self.shapes[self.input]
        return height, width

    @property
    def classes(self) -> int:
        """How many scores come out."""
        return self.shapes[self.output][-1]

    def takes_pixels(self) -> PixelEncoding:
        """What a pixel means to the graph's input; the graph must take pixels."""
        if self.pixels is None:
            raise TypeError(f"the graph '{self.name}' takes normalized numbers, not pixels")
        return self.pixels

    def producers(self) -> dict[str, Node]:
        """Which node makes a tensor."""
        return {node.output: node for node in self.nodes}

    def unused_name(self, name: str) -> str:
        """`name`, or with the first number behind it that no tensor and no node has yet."""
        taken = {*self.shapes, *(node.name for node in self.nodes)}
        numbered = (f"{name}_{number}" for number in count(1))
        return name if name not in taken else next(other for other in numbered if other not in taken)

    def uses(self) -> Counter[str]:
        """How often each tensor is read, the graph's output counted once."""
        reads = Counter(name for node in self.nodes for name in node.inputs)
        reads[self.output] += 1
        return reads

    def with_nodes(self, nodes: Iterable[Node], new_shapes: Mapping[str, Shape] | None = None) -> Graph:
        """The same graph with other nodes; shapes of tensors that are gone are dropped.

        Args:
            nodes: the new nodes, in topological order.
            new_shapes: shapes of tensors that were not in the graph before, or have changed.
        """
        kept = tuple(nodes)
        alive = {self.input, self.output} | {node.output for node in kept}
        shapes = {**self.shapes, **(new_shapes or {})}
        return replace(self, nodes=kept, shapes={name: s for name, s in shapes.items() if name in alive})
