"""The options of `edgenet convert`, in groups."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgenet.verbs.gate import Trial
    from edgenet.verbs.quantizing import Calibration
    from edgenet.verbs.sources import SourceOptions

CalibrationData = Annotated[
    Path | None, typer.Option("--calibration", help="Folder or zip of photos like those the camera will see.")
]
Photos = Annotated[
    int | None, typer.Option("--photos", min=1, help="How many of them to use.", show_default="100")
]
FloatFlag = Annotated[
    bool, typer.Option("--float", help="Write a float32 file; needs no calibration photos.")
]
Recipe = Annotated[str | None, typer.Option("--recipe", help="How to quantize.", show_default="the best")]
Resolution = Annotated[int | None, typer.Option("--resolution", help="Side of the picture in pixels.")]
Normalize = Annotated[
    str | None,
    typer.Option("--normalize", help="For .onnx: imagenet, -1..1, centred, 0..1, 0..255 or R,G,B/R,G,B."),
]
Labels = Annotated[Path | None, typer.Option("--labels", help="Text file with one class name per line.")]
InputShape = Annotated[
    str | None, typer.Option("--input-shape", help="For an .onnx with an open shape, e.g. 1,3,224,224.")
]
LabelledData = Annotated[
    Path | None,
    typer.Option("--data", help="Labelled photos to measure float and int8 on, as evaluate takes."),
]
MaxDrop = Annotated[
    float | None,
    typer.Option("--max-drop", help="Fail if int8 loses more points of top-1 on --data, such as 0.5."),
]
Backend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="Who quantizes: edgenet, or onnx-tf and TFLiteConverter (Python 3.11, extra onnx-tf, 2.4 GB).",
        show_default="edgenet",
    ),
]
KeepFloat = Annotated[
    str | None,
    typer.Option(
        "--keep-float",
        metavar="LAYERS|auto",
        help="Last resort: layers to leave in float, as inspect shows them, such as 'classifier,features.0/*'; "
        "auto takes a few if they gain enough.",
    ),
]


@dataclass(frozen=True)
class PrecisionOptions:
    """Whether the file is float or int8; how an int8 one is made, and what it must pass.

    Raises:
        BadParameter: options that do not go together.
    """

    calibration: CalibrationData = None
    photos: Photos = None
    float_file: FloatFlag = False
    recipe: Recipe = None
    keep_float: KeepFloat = None
    backend: Backend = None
    data: LabelledData = None
    max_drop: MaxDrop = None

    def __post_init__(self) -> None:
        if self.float_file == (self.calibration is not None):
            raise typer.BadParameter("give either --calibration PHOTOS for an int8 file, or --float")
        if self.max_drop is not None and self.data is None:
            raise typer.BadParameter("--max-drop needs --data PHOTOS to be measured on")
        if self.max_drop is not None and not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise typer.BadParameter(
                f"--max-drop is {self.max_drop}, give points of top-1, 0 or more, such as 0.5"
            )
        for name in ("photos", "recipe", "keep_float", "backend", "data"):
            if self.float_file and getattr(self, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise typer.BadParameter(f"{option} is for int8 files, leave it out with --float")

    def for_verb(self) -> tuple[Calibration | None, Trial | None]:
        """As the verb takes them."""
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.verbs.gate import Trial
        from edgenet.verbs.quantizing import BACKENDS, PHOTOS, Calibration

        trial = Trial(self.data, self.max_drop) if self.data is not None else None
        if self.calibration is None:
            return None, trial
        recipe = self.recipe or DEFAULT_RECIPE
        backend = self.backend or BACKENDS[0]
        return Calibration(self.calibration, self.photos or PHOTOS, recipe, self.keep_float, backend), trial


@dataclass(frozen=True)
class InputOptions:
    """What the source may not say itself.

    Raises:
        BadParameter: a shape that is none.
    """

    resolution: Resolution = None
    normalize: Normalize = None
    labels: Labels = None
    input_shape: InputShape = None

    def __post_init__(self) -> None:
        self._shape()

    def for_verb(self) -> SourceOptions:
        """As the verb takes them."""
        from edgenet.verbs.sources import SourceOptions

        return SourceOptions(self.resolution, self.normalize, self.labels, self._shape())

    def _shape(self) -> tuple[int, ...] | None:
        if self.input_shape is None:
            return None
        try:
            return tuple(int(n) for n in self.input_shape.split(","))
        except ValueError:
            raise typer.BadParameter(
                f"--input-shape is '{self.input_shape}', give it as 1,3,224,224"
            ) from None
