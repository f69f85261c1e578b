"""Options of the commands that take float networks: what the file of such a network may leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from edgenet.commands.options import Architecture, Labels, Normalization, Resolution, numbers

InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        metavar="N,C,H,W",
        help="Input shape for an .onnx or Keras file that leaves it open, such as 1,3,224,224 or 1,224,224,3.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="NAME",
        help="For an .onnx file with several outputs: the name of the output with the class scores.",
    ),
]


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """Return the shape that the text of --input-shape says.

    Raises:
        BadParameter: the text is not a shape of four sizes.
    """
    shape = None if text is None else numbers(text, int, "--input-shape")
    if shape is not None and (len(shape) != 4 or min(shape) < 1):
        raise typer.BadParameter(f"--input-shape is '{text}'; give it as 1,3,224,224")
    return shape


@dataclass(frozen=True)
class InputOptions:
    """Facts about a network's input and output that its file may lack.

    Raises:
        BadParameter: --input-shape is not a shape.
    """

    resolution: Resolution = None
    normalization: Normalization = None
    labels: Labels = None
    input_shape: InputShape = None
    output: Output = None
    architecture: Architecture = None

    def __post_init__(self) -> None:
        shape_of(self.input_shape)

    def arguments(self) -> dict[str, Any]:
        """Return the options as arguments of `edgenet.convert` and `edgenet.evaluate`."""
        return {
            "resolution": self.resolution,
            "normalization": self.normalization,
            "labels": self.labels,
            "input_shape": shape_of(self.input_shape),
            "output": self.output,
            "architecture": self.architecture,
        }
