"""The graph of a classifier: its nodes in topological order, one input picture and one output vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count

from edgenet.graph.operators import Operator

Shape = tuple[int, ...]


@dataclass(frozen=True)
class PixelEncoding:
    """The real number that a uint8 pixel q stands for: scale * (q - zero_point)."""

    scale: float = 1.0
    zero_point: int = 0


@dataclass(frozen=True)
class Node:
    """One step: an operator, the tensors it reads and the one tensor it produces."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Graph:
    """A classifier in NHWC.

    Attributes:
        name: shown to people and written to the file's metadata.
        nodes: in topological order; each tensor is produced exactly once.
        input: the tensor [1, H, W, 3] that holds the decoded pixels (see `pixels`).
        output: the tensor [1, N] of logits (or of scores if the network ends in an activation).
        shapes: the shape of every tensor, for a batch of one.
        pixels: how uint8 RGB pixels become the input's numbers; None if the input takes normalized numbers,
            as it does until `normalize_pixels` puts the normalization in front.
    """

    name: str
    nodes: tuple[Node, ...]
    input: str
    output: str
    shapes: Mapping[str, Shape]
    pixels: PixelEncoding | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Return the height and width of the picture."""
        _, height, width, _ = self.shapes[self.input]
        return height, width

    @property
    def classes(self) -> int:
        """Return the number of output scores."""
        return self.shapes[self.output][-1]

    def takes_pixels(self) -> PixelEncoding:
        """Return the pixel encoding of the graph's input.

        Raises:
            TypeError: the graph takes normalized numbers, not pixels.
        """
        if self.pixels is None:
            raise TypeError(f"the graph '{self.name}' takes normalized numbers, not pixels")
        return self.pixels

    def producers(self) -> dict[str, Node]:
        """Map each tensor to the node that produces it."""
        return {node.output: node for node in self.nodes}

    def unused_name(self, name: str) -> str:
        """Return the first of `name`, `name_1`, `name_2`, ... that no tensor and no node uses yet."""
        taken = {*self.shapes, *(node.name for node in self.nodes)}
        numbered = (f"{name}_{number}" for number in count(1))
        return name if name not in taken else next(other for other in numbered if other not in taken)

    def uses(self) -> Counter[str]:
        """Count how often each tensor is read; being the graph's output counts as one more read."""
        reads = Counter(name for node in self.nodes for name in node.inputs)
        reads[self.output] += 1
        return reads

    def with_nodes(self, nodes: Iterable[Node], new_shapes: Mapping[str, Shape] | None = None) -> Graph:
        """Return the same graph with other nodes, without the shapes of tensors that no longer exist.

        Args:
            nodes: the new nodes, in topological order.
            new_shapes: the shapes of tensors that are new or whose shape has changed.
        """
        kept = tuple(nodes)
        alive = {self.input, self.output} | {node.output for node in kept}
        shapes = {**self.shapes, **(new_shapes or {})}
        return replace(self, nodes=kept, shapes={name: s for name, s in shapes.items() if name in alive})
