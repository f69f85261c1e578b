"""One call of a Keras layer while a model is read, and the state of the reading that all calls share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgenet.errors import EdgenetError, one_line
from edgenet.graph.ir import FloatArray, Operator, Shape
from edgenet.graph.keras_file import KerasFile, LayerPlace
from edgenet.graph.shapes import GraphBuilder
from edgenet.graph.simplify import count_not_finite


@dataclass
class KerasReadState:
    """The state of reading one model.

    Attributes:
        file: the model's file.
        builder: collects the graph's nodes.
        picture: the tensor that the model takes: the graph's input, or a grey picture made of it.
        scales_pixels: whether a layer that scales numbers reads the picture itself, as Rescaling does.
    """

    file: KerasFile
    builder: GraphBuilder
    picture: str
    scales_pixels: bool = False

    @property
    def is_keras_3(self) -> bool:
        """Return whether Keras 3 wrote the file; some layers mean something else in Keras 2."""
        return self.file.version.startswith("3")


@dataclass(frozen=True)
class KerasTensor:
    """A tensor of the graph, in contrast to a constant argument."""

    name: str


@dataclass(frozen=True)
class KerasCall:
    """One call of a layer.

    Attributes:
        state: the reading so far.
        kind: the layer's class, such as "Conv2D".
        config: the layer's configuration.
        place: where the layer stands in the model.
        operands: what it is called with: tensors, and constants in the case of arithmetic.
        arguments: the call's named arguments.
    """

    state: KerasReadState
    kind: str
    config: Mapping[str, Any]
    place: LayerPlace
    operands: tuple[Any, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> list[str]:
        """Return the graph tensors that the layer reads."""
        return [operand.name for operand in self.operands if isinstance(operand, KerasTensor)]

    @property
    def tensor(self) -> str:
        """Return the only tensor that the layer reads."""
        if len(self.tensors) != 1:
            raise self.refusal(f"it reads {len(self.tensors)} tensors instead of one")
        return self.tensors[0]

    @property
    def shape(self) -> Shape:
        """Return the shape of the only tensor that the layer reads."""
        return self.state.builder.shapes[self.tensor]

    @property
    def picture(self) -> Shape:
        """Return the shape [1, H, W, C] of the only tensor that the layer reads, which must be a picture."""
        if len(self.shape) != 4:
            raise self.refusal("it takes no picture")
        return self.shape

    def add(self, operator: Operator, inputs: Sequence[str] | None = None, suffix: str = "") -> str:
        """Add one operator to the graph, named after the layer; return its output tensor."""
        given = [self.tensor] if inputs is None else list(inputs)
        return self.state.builder.add(operator, given, self.place.names[-1] + suffix)

    def weights(self, *variables: str) -> list[FloatArray]:
        """Return the layer's weights by the names that Keras gives them (see `KerasFile.arrays`); refuse NaN."""
        arrays = self.state.file.arrays(self.place, variables)
        for variable, array in zip(variables, arrays, strict=True):
            if bad := count_not_finite(array):
                found = f"its {variable.split('|')[0]} holds {bad} among {array.size} values"
                raise self.refusal(found, "check the weights; its training may have diverged")
        return arrays

    def number(self, name: str, default: float) -> float:
        """Return a number of the configuration; null counts as absent."""
        value = self.config.get(name)
        return default if value is None else float(value)

    def text(self, name: str, default: str) -> str:
        """Return a text of the configuration."""
        return str(self.config.get(name) or default)

    def pair(self, name: str, default: Any = 1) -> tuple[int, int]:
        """Return one number each for height and width."""
        value = self.config.get(name)
        value = default if value is None else value
        height, width = (value, value) if isinstance(value, int) else value
        return int(height), int(width)

    def need(self, name: str, *allowed: Any) -> None:
        """Refuse a value of the configuration that is not among those allowed; an absent one is."""
        value = self.config.get(name, allowed[0])
        if value not in allowed:
            raise self.refusal(f"its {name} is {value}", f"edgenet takes {' or '.join(map(str, allowed))}")

    def constant(self, value: Any) -> FloatArray:
        """Return a constant argument as one number, or one for each channel."""
        if isinstance(value, dict):  # Keras 3 writes arrays as {"class_name": "__numpy__", "config": {...}}
            value = value["config"]["value"]
        array = np.asarray(value, np.float32)
        if array.size != 1 and array.size != array.shape[-1]:
            raise self.refusal("its constant varies over the picture")
        return array.reshape(-1)

    def refusal(self, why: str, remedy: str = "") -> EdgenetError:
        """Return the error for a layer that is not supported; it names the layer, its class and its inputs."""
        shapes = ", ".join(str(list(self.state.builder.shapes[tensor])) for tensor in self.tensors)
        of = f" with input {shapes}" if shapes else ""
        name, kind = one_line(self.place.names[-1], 80), one_line(self.kind, 80)
        return EdgenetError(f"cannot read the layer '{name}', a {kind}{of}: {why}", remedy or EXPORT)


EXPORT = "convert it to a float .tflite with TensorFlow and give that"
"""The way out for a layer that edgenet cannot read in a Keras file."""
