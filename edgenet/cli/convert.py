"""`edgenet convert`: convert a float network to a .tflite file."""

from __future__ import annotations

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
from edgenet.cli.convert_options import InputOptions, PrecisionOptions
from edgenet.cli.option_groups import grouped

if TYPE_CHECKING:
    from edgenet.verbs.convert import Conversion
    from edgenet.verbs.gate import Measured
    from edgenet.verbs.held_out import Fidelity
    from edgenet.verbs.mixed import MixedPrecision

Source = Annotated[
    str,
    typer.Argument(
        help="Name of a variant with ImageNet weights, or a .safetensors, .npz, .pth, .onnx or float .tflite file."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Path of the .tflite file to write.")]


@grouped
def command(
    source: Source,
    out: Out,
    precision: PrecisionOptions,
    inputs: InputOptions,
    json_output: JsonFlag = False,
) -> None:
    """Convert a float network to a .tflite file.

    The file is int8 with --calibration PHOTOS, or float32 with --float. An int8 file is always compared with the float
    network, on photos held out from the calibration if there are enough. With --data PHOTOS its top-1 accuracy is
    measured too, and with --max-drop the command fails if int8 loses more than that.
    """
    with shown_progress() as progress:
        # Before importing the verb: if torch is the first to import numpy, a Ctrl-C meanwhile is lost.
        calibration, trial = precision.for_verb()
        from edgenet.verbs.convert import convert

        result = convert(source, out, calibration, inputs.for_verb(), progress, trial)
    note_skipped(result.skipped)
    warn(result.warnings)
    print_json(result) if json_output else _print(result)


def _print(result: Conversion) -> None:
    made = "float32"
    if result.quantization:
        made = f"int8, recipe {result.quantization.recipe}, {result.quantization.calibration_count} photos"
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.kinds.items())
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.seconds.items())
    typer.echo(f"{result.out}: {megabytes(result.bytes)}, {made}")
    typer.echo(f"  {result.name}: {result.cost.mult_adds / 1e6:.0f} M mult-adds, {result.classes} classes")
    typer.echo(f"  {result.operators} operators: {kinds}")
    for line in mixed_lines(result.mixed) if result.mixed else ():
        typer.echo(f"  {line}")
    if result.fidelity:
        typer.echo(f"  {fidelity_text(result.fidelity)}")
    for line in _measured_lines(result.measured) if result.measured else ():
        typer.echo(f"  {line}")
    typer.echo(f"  {stages}")
    if not result.labelled:
        typer.echo(
            "  the file has no labels: convert again with --labels FILE, or give them to edgenet package"
        )


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
    from edgenet.verbs.held_out import HANDFUL

    kind = "held-out" if found.held_out else "calibration"
    doubts = [] if found.held_out else ["no photo could be held out, so both figures are too favourable"]
    if found.n < HANDFUL:
        doubts.append(f"agreement on {found.n} photo{'s' * (found.n != 1)} says little")
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
            f"{found.calibrating} photo{'s' * (found.calibrating != 1)} of {found.evaluation.data} left out here: "
            "int8 was calibrated on them, so its accuracy there would be too favourable"
        )
    return lines
