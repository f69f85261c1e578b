"""The state of writing one graph as a .tflite program: each tensor as float32, as int8, or as both."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgenet.graph.ir import Graph, Node
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph
from edgenet.tflite.program import ProgramBuilder, Quantization


@dataclass
class EmitState:
    """The state of writing one graph.

    Attributes:
        graph: the graph to write.
        quantized: its integer weights and encodings, or None for a float file.
        builder: collects the file's tensors and operators.
        native: maps each graph tensor so far to the file tensor that its node makes, int8 or float32.
        converted: maps a graph tensor to its file tensor in the other of these two types, where one was
            needed.
    """

    graph: Graph
    quantized: QuantizedGraph | None
    builder: ProgramBuilder
    native: dict[str, int]
    converted: dict[str, int] = field(default_factory=dict)

    def is_float(self, node: Node) -> bool:
        """Return whether a node is computed in float32."""
        return self.quantized is None or node.name in self.quantized.kept_float

    def activation_tensor(self, name: str, is_float: bool) -> int:
        """Add the file tensor for a graph tensor, float32 or int8 with its encoding; return its index."""
        self.native[name] = self._tensor(name, is_float, name)
        return self.native[name]

    def tensor_as(self, name: str, is_float: bool, called: str | None = None) -> int:
        """Return the file tensor of a graph tensor in one type; convert it once if its node makes the other.

        Args:
            name: the graph tensor.
            is_float: True for float32, False for int8.
            called: the name for a converted tensor.
        """
        made = self.native[name]
        if (self.builder.tensors[made].dtype == "float32") == is_float:
            return made
        if name not in self.converted:
            kind, version, suffix = ("DEQUANTIZE", 2, "real") if is_float else ("QUANTIZE", 1, "int8")
            target = self._tensor(name, is_float, called or f"{name}/{suffix}")
            self.converted[name] = self.builder.operator(kind, version, (made,), target)
        return self.converted[name]

    def _tensor(self, name: str, is_float: bool, called: str) -> int:
        shape = self.graph.shapes[name]
        if is_float:
            return self.builder.tensor(called, shape, "float32")
        assert self.quantized is not None
        return self.builder.tensor(called, shape, "int8", file_quantization(self.quantized.encodings[name]))


def file_quantization(encoding: Encoding) -> Quantization:
    """Convert a tensor's encoding to the form that the file holds."""
    return Quantization((encoding.scale,), (encoding.zero_point,))
