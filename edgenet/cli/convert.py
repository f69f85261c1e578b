"""`edgenet convert`: a float network to a .tflite file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import (
    JsonFlag,
    interval_text,
    megabytes,
    note_skipped,
    paired_text,
    print_json,
    shown_progress,
    warn,
)

if TYPE_CHECKING:
    from edgenet.verbs.convert import Conversion
    from edgenet.verbs.gate import Measured
    from edgenet.verbs.held_out import Fidelity

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

LabelledData = Annotated[
    Path | None,
    typer.Option("--data", help="Labelled photos to measure float and int8 on, as evaluate takes."),
]
MaxDrop = Annotated[
    float | None,
    typer.Option("--max-drop", help="Fail if int8 loses more points of top-1 on --data, such as 0.5."),
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
    data: LabelledData = None,
    max_drop: MaxDrop = None,
    json_output: JsonFlag = False,
) -> None:
    """Make a .tflite file of a float network.

    It is int8 with --calibration PHOTOS, float32 with --float. An int8 file is always compared with float on photos
    that did not calibrate; with --data PHOTOS its top-1 is measured too, and with --max-drop it must not lose more.
    """
    if float_file == (calibration is not None):
        raise typer.BadParameter("give either --calibration PHOTOS for an int8 file, or --float")
    if float_file and (photos is not None or recipe is not None):
        raise typer.BadParameter("--photos and --recipe are for int8 files, leave them out with --float")
    if float_file and data is not None:
        raise typer.BadParameter("--data is for int8 files, leave it out with --float")
    if max_drop is not None and data is None:
        raise typer.BadParameter("--max-drop needs --data PHOTOS to be measured on")
    if max_drop is not None and not (math.isfinite(max_drop) and max_drop >= 0):
        raise typer.BadParameter(f"--max-drop is {max_drop}, give points of top-1, 0 or more, such as 0.5")
    shape = _shape(input_shape)
    with shown_progress() as progress:
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.verbs.convert import PHOTOS, Calibration, convert
        from edgenet.verbs.gate import Trial
        from edgenet.verbs.sources import SourceOptions

        chosen = None
        if calibration is not None:
            chosen = Calibration(calibration, photos or PHOTOS, recipe or DEFAULT_RECIPE)
        trial = Trial(data, max_drop) if data is not None else None
        sources = SourceOptions(resolution, normalize, labels, shape)
        result = convert(source, out, chosen, sources, progress, trial)
    note_skipped(result.skipped)
    warn(result.warnings)
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
    if result.fidelity:
        typer.echo(f"  {fidelity_text(result.fidelity)}")
    for line in _measured_lines(result.measured) if result.measured else ():
        typer.echo(f"  {line}")
    typer.echo(f"  {stages}")
    if not result.labelled:
        typer.echo("  it has no labels: convert again with --labels FILE, or give them to edgenet package")


def fidelity_text(found: Fidelity) -> str:
    """How close int8 is to float, in one line, with what there is to say against it."""
    from edgenet.verbs.held_out import HANDFUL

    kind = "held-out" if found.held_out else "calibration"
    doubts = [] if found.held_out else ["none could be held out, so both figures flatter"]
    if found.n < HANDFUL:
        doubts.append(f"agreement of {found.n} photo{'s' * (found.n != 1)} says little")
    return "; ".join(
        [
            f"agrees with float on {found.agreeing} of {found.n} {kind} photo{'s' * (found.n != 1)} "
            f"({found.agreement:.1f} %, 95 % interval {interval_text(found.agreement_interval)})",
            f"SQNR of the logits {found.sqnr_db:.1f} dB",
            *doubts,
        ]
    )


def _measured_lines(found: Measured) -> list[str]:
    real, given = found.evaluation.models
    lines = [
        f"on {found.evaluation.n} photos of {found.evaluation.data}: float top-1 {real.top1:.2f} % "
        f"({interval_text(real.top1_interval)}), int8 {given.top1:.2f} % ({interval_text(given.top1_interval)}); "
        f"{paired_text(found.paired)}",
        f"int8: {given.verdict}",
    ]
    if found.calibrating:
        lines.append(
            f"{found.calibrating} photo{'s' * (found.calibrating != 1)} of {found.evaluation.data} left out there: "
            "they calibrated the network, so int8 would flatter itself on them"
        )
    return lines
