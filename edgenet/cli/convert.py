"""`edgenet convert`: a float network to a .tflite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, megabytes, note_skipped, print_json, shown_progress

if TYPE_CHECKING:
    from edgenet.verbs.convert import Conversion

Source = Annotated[
    str,
    typer.Argument(help="A variant with ImageNet weights, or a .safetensors, .npz, .pth, .onnx or .tflite."),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The .tflite file to write.")]
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


def command(
    source: Source,
    out: Out,
    calibration: CalibrationData = None,
    photos: Photos = None,
    float_file: FloatFlag = False,
    recipe: Recipe = None,
    resolution: Resolution = None,
    normalize: Normalize = None,
    labels: Labels = None,
    input_shape: InputShape = None,
    json_output: JsonFlag = False,
) -> None:
    """Make a .tflite file of a float network.

    It is int8 with --calibration PHOTOS, float32 with --float.
    """
    if float_file == (calibration is not None):
        raise typer.BadParameter("give either --calibration PHOTOS for an int8 file, or --float")
    if float_file and (photos is not None or recipe is not None):
        raise typer.BadParameter("--photos and --recipe are for int8 files, leave them out with --float")
    shape = _shape(input_shape)
    with shown_progress() as progress:
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.verbs.convert import PHOTOS, Calibration, convert
        from edgenet.verbs.sources import SourceOptions

        chosen = None
        if calibration is not None:
            chosen = Calibration(calibration, photos or PHOTOS, recipe or DEFAULT_RECIPE)
        result = convert(source, out, chosen, SourceOptions(resolution, normalize, labels, shape), progress)
    note_skipped(result.skipped)
    print_json(result) if json_output else _print(result)


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(n) for n in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--input-shape is '{text}', give it as 1,3,224,224") from None


def _print(result: Conversion) -> None:
    made = "float32"
    if result.quantization:
        made = f"int8, recipe {result.quantization.recipe}, {result.quantization.calibration_count} photos"
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.kinds.items())
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.seconds.items())
    typer.echo(f"{result.out}: {megabytes(result.bytes)}, {made}")
    typer.echo(f"  {result.name}: {result.cost.mult_adds / 1e6:.0f} M mult-adds, {result.classes} classes")
    typer.echo(f"  {result.operators} operators: {kinds}")
    typer.echo(f"  {stages}")
    if not result.labelled:
        typer.echo("  it has no labels: convert again with --labels FILE, or give them to edgenet package")
