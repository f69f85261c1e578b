"""The options of `edgenet convert`, grouped in dataclasses."""

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
    Path | None,
    typer.Option(
        "--calibration",
        help="Make an int8 file, calibrated on this folder or zip of photos like those the camera will see.",
    ),
]
Photos = Annotated[
    int | None,
    typer.Option("--photos", min=1, help="Number of calibration photos to use.", show_default="100"),
]
FloatFlag = Annotated[
    bool, typer.Option("--float", help="Make a float32 file, which needs no calibration photos.")
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="Quantization recipe: minmax, fast, balanced or best (the slowest).",
        show_default="balanced",
    ),
]
Resolution = Annotated[
    int | None,
    typer.Option(
        "--resolution",
        help="Width and height of the input image in pixels, for a source that allows several.",
    ),
]
Normalize = Annotated[
    str | None,
    typer.Option(
        "--normalize",
        help="Pixel normalization of an .onnx or float .tflite file: imagenet, -1..1, centred, 0..1, 0..255, "
        "or mean and standard deviation as R,G,B/R,G,B.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", help="Text file of class names, one per line, in the order of the outputs."),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape", help="Input shape for an .onnx file that leaves it open, such as 1,3,224,224."
    ),
]
LabelledData = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Labelled photos on which to measure float and int8, in the form that `edgenet evaluate` takes.",
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        help="Fail if int8 loses more than this many points of top-1 on --data, for example 0.5.",
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="Quantizer: edgenet, or onnx-tf for TFLiteConverter (needs Python 3.11 and the extra onnx-tf, 2.4 GB).",
        show_default="edgenet",
    ),
]
KeepFloat = Annotated[
    str | None,
    typer.Option(
        "--keep-float",
        metavar="LAYERS|auto",
        help="Last resort: layers to keep in float, by the names that `edgenet inspect` shows, such as "
        "'classifier,features.0/*'. "
        "auto keeps a few layers in float if they gain enough accuracy.",
    ),
]


@dataclass(frozen=True)
class PrecisionOptions:
    """Whether the file is float or int8, how an int8 file is made, and the accuracy it must reach.

    Raises:
        BadParameter: the options contradict each other.
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
            raise typer.BadParameter(
                "give either --calibration PHOTOS for an int8 file, or --float for a float32 file"
            )
        if self.max_drop is not None and self.data is None:
            raise typer.BadParameter("--max-drop needs --data PHOTOS to measure the drop on")
        if self.max_drop is not None and not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise typer.BadParameter(
                f"--max-drop is {self.max_drop}; give points of top-1, 0 or more, such as 0.5"
            )
        for name in ("photos", "recipe", "keep_float", "backend", "data"):
            if self.float_file and getattr(self, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise typer.BadParameter(f"{option} is for int8 files; leave it out with --float")

    def for_verb(self) -> tuple[Calibration | None, Trial | None]:
        """Return the options as `edgenet.convert` takes them; each is None if it does not apply."""
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
    """Facts about the network's input and output that its file may lack.

    Raises:
        BadParameter: --input-shape is not a list of integers.
    """

    resolution: Resolution = None
    normalize: Normalize = None
    labels: Labels = None
    input_shape: InputShape = None

    def __post_init__(self) -> None:
        self._shape()

    def for_verb(self) -> SourceOptions:
        """Return the options as `edgenet.convert` takes them."""
        from edgenet.verbs.sources import SourceOptions

        return SourceOptions(self.resolution, self.normalize, self.labels, self._shape())

    def _shape(self) -> tuple[int, ...] | None:
        if self.input_shape is None:
            return None
        try:
            return tuple(int(n) for n in self.input_shape.split(","))
        except ValueError:
            raise typer.BadParameter(
                f"--input-shape is '{self.input_shape}'; give it as 1,3,224,224"
            ) from None
