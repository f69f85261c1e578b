"""`edgenet convert`: convert a float network to a .tflite file."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgenet.commands.console import (
    interval_text,
    megabytes,
    note_skipped,
    paired_text,
    print_json,
    say,
    shown_progress,
    warn,
)
from edgenet.commands.options import LABELLED_PHOTOS, InputOptions, JsonFlag, Recipe, output_file
from edgenet.commands.quick_imports import quick_imports

if TYPE_CHECKING:
    from edgenet.workflows.accuracy_gate import GateResult
    from edgenet.workflows.calibration import Fidelity
    from edgenet.workflows.convert import Conversion
    from edgenet.workflows.mixed_precision import MixedPrecision

Source = Annotated[
    str,
    typer.Argument(
        help="Name of a variant with ImageNet weights, or a checkpoint, .onnx, Keras or float .tflite file."
    ),
]
Out = Annotated[Path, output_file(".tflite", ".onnx", help="Path of the .tflite or .onnx file to write.")]
CalibrationData = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Make an int8 file, calibrated on this folder or zip of photos like those the camera will see; "
        "builtin takes the photos that come with edgenet.",
    ),
]
Photos = Annotated[
    int | None,
    typer.Option("--photos", min=1, help="Number of photos to use.", show_default="100"),
]
FloatFlag = Annotated[
    bool, typer.Option("--float", help="Make a float32 file, which needs no calibration photos.")
]
PrecisionName = Annotated[
    Literal["int8", "float32", "float16", "dynamic"] | None,
    typer.Option(
        "--precision",
        help="Precision of the network: int8 needs --calibration; float32, float16 (half the size) and dynamic (int8 "
        "weights, the rest quantized at run time) need no photos.",
        show_default="int8",
    ),
]
Io = Annotated[
    Literal["uint8", "int8", "float32"] | None,
    typer.Option(
        "--io",
        help="Type of the pixels and of the scores, for runtimes that want another one, such as int8 for the Edge TPU "
        "compiler. float32 pixels are normalized by the caller.",
        show_default="uint8 pixels, float32 scores",
    ),
]
Format = Annotated[
    Literal["tflite", "onnx"] | None,
    typer.Option(
        "--format",
        help="Format of the file, which --out must end in; an int8 .onnx holds QDQ pairs for other compilers.",
        show_default="by the ending of --out",
    ),
]
LabelledData = Annotated[Path | None, typer.Option("--data", help=LABELLED_PHOTOS)]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        help="Fail if int8 loses more than this many points of top-1 on --data, for example 0.5.",
    ),
]
Backend = Annotated[
    Literal["edgenet", "onnx-tf"] | None,
    typer.Option(
        "--backend",
        help="Quantizer: edgenet, or onnx-tf for TFLiteConverter, which needs Python 3.10 or 3.11 and the extra "
        "onnx-tf (2.4 GB).",
        show_default="edgenet",
    ),
]
KeepFloat = Annotated[
    str | None,
    typer.Option(
        "--keep-float",
        metavar="LAYERS|auto",
        help="Last resort: layers to keep in float, by the names that `edgenet inspect` shows, such as "
        "'classifier,features.0/*'. auto keeps a few layers in float if they gain enough accuracy.",
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
    precision: PrecisionName = None
    io: Io = None
    format: Format = None
    recipe: Recipe = None
    keep_float: KeepFloat = None
    backend: Backend = None
    data: LabelledData = None
    max_drop: MaxDrop = None

    def __post_init__(self) -> None:
        if self.float_file and self.precision not in (None, "float32"):
            raise typer.BadParameter("give either --float or --precision")
        kind = self.precision or ("float32" if self.float_file else "int8")
        if (kind == "int8") != (self.calibration is not None):
            raise typer.BadParameter(
                "give either --calibration PHOTOS for an int8 file, or --float for a float32 file"
                if self.precision is None
                else "--precision int8 needs --calibration PHOTOS, and the others need none"
            )
        if self.max_drop is not None and self.data is None:
            raise typer.BadParameter("--max-drop needs --data PHOTOS to measure the drop on")
        if self.max_drop is not None and not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise typer.BadParameter(
                f"--max-drop is {self.max_drop}; give points of top-1, 0 or more, such as 0.5"
            )
        for name in ("photos", "recipe", "keep_float", "backend", "data"):
            if kind != "int8" and getattr(self, name) is not None:
                option = f"--{name.replace('_', '-')}"
                other = "--float" if self.float_file else f"--precision {kind}"
                raise typer.BadParameter(f"{option} is for int8 files; leave it out with {other}")

    def arguments(self) -> dict[str, Any]:
        """Return the options as arguments of `edgenet.convert`; an option that was not given is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["float"] = values.pop("float_file")
        del values["format"]
        return {name: value for name, value in values.items() if value is not None}


def convert_command(
    source: Source,
    out: Out,
    precision: PrecisionOptions,
    inputs: InputOptions,
    json_output: JsonFlag = False,
) -> None:
    """Convert a float network to a .tflite or .onnx file.

    An .onnx file is for other compilers. Either file is int8 with --calibration PHOTOS, float32 with --float, or has
    another --precision. An int8 file is always compared with the float network, on photos held out from the calibration
    if there are enough. With --data PHOTOS its top-1 accuracy is measured too, and with --max-drop the command fails if
    int8 loses more than that.
    """
    if precision.format is not None and out.suffix.lower() != f".{precision.format}":
        raise typer.BadParameter(
            f"--format {precision.format} needs a name for --out that ends in .{precision.format}"
        )
    with shown_progress() as progress:
        with quick_imports():
            from edgenet.workflows.convert import convert

        result = convert(source, out, **precision.arguments(), **inputs.arguments(), progress=progress)
    note_skipped(result.skipped)
    warn(result.warnings)
    print_json(result) if json_output else _print(result)


NO_VNNI = (
    "x86 processors without VNNI compute int8 .onnx files wrong, unless ONNX Runtime has the session option "
    "session.x64quantprecision = 1"
)
"""Their instruction for int8 adds two products in 16 bits, which may overflow; docs/formats.md says more."""


def _print(result: Conversion) -> None:
    made = result.precision
    if result.quantization:
        made = f"int8, recipe {result.quantization.recipe}, {result.quantization.calibration_count} photos"
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.kinds.items())
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.seconds.items())
    say(f"{result.out}: {megabytes(result.bytes)}, {made}")
    say(f"  {result.name}: {result.cost.mult_adds / 1e6:.0f} M mult-adds, {result.classes} classes")
    for line in result.account.lines() if result.account else ():
        say(f"  {line}")
    say(f"  {result.operators} operators: {kinds}")
    if result.partitions and result.partitions.count > 1:
        say(f"  {result.partitions.describe()}")
    for line in mixed_lines(result.mixed) if result.mixed else ():
        say(f"  {line}")
    if result.fidelity:
        say(f"  {fidelity_text(result.fidelity)}")
    for line in _measured_lines(result.measured) if result.measured else ():
        say(f"  {line}")
    say(f"  {stages}")
    if result.quantization and Path(result.out).suffix == ".onnx":
        say(f"  {NO_VNNI}")
    if not result.labelled:
        say("  the file has no labels: convert again with --labels FILE, or give them to edgenet package")


def mixed_lines(found: MixedPrecision) -> list[str]:
    """Describe what keeping layers in float gained and cost, or why no layer is kept in float."""
    if not found.layers:
        return [f"nothing is kept in float: {found.reason}"]
    lines = [
        f"kept in float: {layer.name}, {layer.gain_db:+.1f} dB by itself, {layer.added_bytes / 1e3:.1f} kB more, "
        f"{layer.mult_adds_percent:.1f} % of the mult-adds"
        for layer in found.layers
    ]
    return [
        *lines,
        *([f"no more layers are kept in float: {found.reason}"] if found.reason else []),
        f"all of these, on {found.photos} photo{'s' * (found.photos != 1)}: SQNR of the logits from "
        f"{found.sqnr_before_db:.1f} to {found.sqnr_after_db:.1f} dB, agreement with float from "
        f"{found.agreement_before:.1f} to {found.agreement_after:.1f} %",
        f"cost: {found.added_bytes / 1e3:.1f} kB more, {found.latency_ratio:.2f} times the latency of int8 "
        "(side by side on this machine, 1 thread)",
    ]


def fidelity_text(found: Fidelity) -> str:
    """Describe in one line how close int8 is to float, and any reason to doubt these figures."""
    from edgenet.workflows.calibration import HANDFUL

    kind = "held-out" if found.held_out else "calibration"
    doubts = [] if found.held_out else ["no photo could be held out, so all figures are too favourable"]
    if found.n < HANDFUL:
        doubts.append(f"agreement on {found.n} photo{'s' * (found.n != 1)} says little")
    return "; ".join(
        [
            f"agrees with float on {found.agreeing} of {found.n} {kind} photo{'s' * (found.n != 1)} "
            f"({found.agreement:.1f} %, 95 % interval {interval_text(found.agreement_interval)})",
            f"SQNR of the logits {found.sqnr_db:.1f} dB, {found.worst_db:.1f} dB on the worst 5 %; "
            f"divergence {found.kl:.4f} nats",
            *([f"logits saturate on {found.saturated}"] if found.saturated else []),
            *doubts,
        ]
    )


def _measured_lines(found: GateResult) -> list[str]:
    real, given = found.evaluation.models
    lines = [
        f"on {found.evaluation.n} photos of {found.evaluation.data}: float top-1 {real.top1:.2f} % "
        f"({interval_text(real.top1_interval)}), int8 {given.top1:.2f} % ({interval_text(given.top1_interval)}); "
        f"{paired_text(found.paired)}",
        f"int8: {given.verdict}",
    ]
    if found.calibrating:
        lines.append(
            f"{found.calibrating} photo{'s' * (found.calibrating != 1)} of {found.evaluation.data} left out here: "
            "int8 was calibrated on them, so its accuracy there would be too favourable"
        )
    return lines
