"""`edgenet inspect`: show what is in a .tflite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.commands.console import (
    accuracy_text,
    console,
    megabytes,
    note_skipped,
    plain_table,
    print_json,
    say,
    shown_progress,
    unknown_text,
)
from edgenet.commands.options import (
    TARGETS,
    Architecture,
    InputShape,
    JsonFlag,
    Normalization,
    Output,
    Profile,
    file_ending_in,
    on_option,
    shape_of,
)
from edgenet.commands.quick_imports import quick_imports

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.latency.profile import OperatorTime
    from edgenet.latency.profile import Profile as OperatorTimes
    from edgenet.quantize.noise_shares import LayerShare
    from edgenet.quantize.quantization_errors import LayerError
    from edgenet.workflows.inspect import Inspection, OperatorRow
    from edgenet.workflows.layer_comparison import LayerComparison

Model = Annotated[Path, typer.Argument(help="The .tflite file or bundle (.edgenet) to inspect.")]
Against = Annotated[
    str | None, typer.Option("--against", help="Float network to compare every layer with; needs --data.")
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder or zip of photos for the comparison; needs --against.")
]
Photos = Annotated[
    int | None,
    typer.Option("--photos", min=1, help="Number of photos to use.", show_default="32"),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", help="Draw the comparison in this .png or .html file.", **file_ending_in(".png", ".html")
    ),
]
On = Annotated[str | None, on_option(*TARGETS, show_default="local")]
WIDE = 110
"""Terminals at least this wide show every column."""
NAME_WIDTH = 48
BAR_WIDTH = 20
SHOWN_SHARES = 3
"""The number of layers named as the largest sources of noise."""
LEAST_CANCELLED = 0.1
"""The share of the noise that cancels out is shown if it is larger than this."""
PIXELS = "pixels"


def inspect_command(
    model: Model,
    against: Against = None,
    data: Data = None,
    photos: Photos = None,
    normalization: Normalization = None,
    input_shape: InputShape = None,
    output: Output = None,
    architecture: Architecture = None,
    plot: Plot = None,
    profile: Profile = False,
    on: On = None,
    json_output: JsonFlag = False,
) -> None:
    """Show the operators, tensors and sizes of a .tflite file.

    With --against FLOAT --data PHOTOS the command also shows where int8 loses accuracy, and what to do about it. Each
    layer is shown with its SQNR (signal to quantization noise ratio), its share of the noise at the logits, and its
    use of the 256 int8 steps.

    With --profile the command also shows how long every operator takes, on this machine or --on TARGET.
    """
    if on is not None and not profile:
        raise typer.BadParameter("--on TARGET needs --profile")
    if (against is None) != (data is None):
        raise typer.BadParameter("give --against FLOAT and --data PHOTOS together")
    source: dict[str, Any] = {
        "normalization": normalization,
        "input_shape": shape_of(input_shape),
        "output": output,
        "architecture": architecture,
    }
    if against is None and any(one is not None for one in (photos, plot, *source.values())):
        raise typer.BadParameter(
            "--photos, --plot, --normalization, --input-shape, --output and --architecture need --against FLOAT"
        )
    with shown_progress() as progress:
        with quick_imports():
            from edgenet.workflows.inspect import PHOTOS, inspect

        result = inspect(
            model,
            against=against,
            data=data,
            photos=photos or PHOTOS,
            **source,
            plot=plot,
            profile=profile,
            on=on or "local",
            progress=progress,
        )
    note_skipped(result.compared.skipped if result.compared else ())
    print_json(result) if json_output else _print(result)


def _print(result: Inspection) -> None:
    screen = console()
    say(f"{result.model}: {megabytes(result.bytes)}, {result.precision}")
    say(f"  {result.input} to {result.output}, {result.labels} labels")
    if result.facts:
        say(f"  weights: {result.facts.weights.origin}")
    if result.facts and result.facts.quantization:
        say(f"  recipe {result.facts.quantization.recipe}: {'; '.join(result.facts.quantization.steps)}")
    if result.facts and result.facts.accuracy:
        say(f"  {accuracy_text(result.facts.accuracy)}")
    if result.facts and result.facts.unknown:
        say(f"  {unknown_text(result.facts.unknown)}")
    cost = result.cost
    say(
        f"  {cost.mult_adds / 1e6:.1f} M mult-adds, {cost.parameters / 1e6:.2f} M parameters, "
        f"at most {cost.peak_activation_values / 1e6:.2f} M activation values at once"
    )
    if result.compared and result.compared.errors.equalized:
        say(
            "  equalized: each channel's scale and offset were matched for its SQNR; "
            "linear tensors have none, because their axes differ"
        )
    screen.print(operators_table(result, screen.width))
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.kinds.items())
    say(f"{len(result.operators)} operators: {kinds}")
    if result.compared:
        _print_compared(result.compared)
    if result.profile:
        screen.print(profile_table(result.profile, screen.width))
        for line in profile_summary(result.profile):
            say(line)


def _print_compared(compared: LayerComparison) -> None:
    noise, errors = compared.noise, compared.errors
    if compared.input != PIXELS:
        say(f"photos are normalized ({compared.input}) for this file, which fits its first layer best")
    say(
        f"logits {noise.sqnr_db:.1f} dB on {noise.photos} photos, "
        f"{errors.same_answer} of {errors.photos} answers equal the float network's"
    )
    cut_off = f"; logits saturate on {errors.saturated} of {errors.photos} photos" if errors.saturated else ""
    say(
        f"probabilities diverge from the float network's by {errors.kl:.4f} nats; "
        f"logits {errors.worst_db:.1f} dB on the worst 5 % of the photos{cut_off}"
    )
    worst = sorted(noise.layers, key=lambda layer: -layer.total)[:SHOWN_SHARES]
    cancelled = f", {noise.cancelled:.0%} of it cancels out" if noise.cancelled > LEAST_CANCELLED else ""
    say(
        f"noise at the logits: weights {noise.weights:.0%}, activations {noise.activations:.0%}{cancelled}; "
        "the largest shares come from " + ", ".join(f"{layer.name} {layer.total:.0%}" for layer in worst)
    )
    say(compared.advice)


def operators_table(result: Inspection, width: int) -> Table:
    """Return a table with a row for every operator; a narrow terminal gets fewer columns, so that no figure is cut."""
    compared = result.compared
    headings = _headings(width, compared is not None)
    errors = {error.node: error for error in compared.errors.layers} if compared else {}
    shares = {share.node: share for share in compared.noise.layers} if compared else {}
    rows = [
        _operator_cells(row, errors.get(row.output), shares.get(row.output), headings)
        for row in result.operators
    ]
    # The output's name gets the width that the other columns leave.
    gap = 2 if width >= WIDE else 1
    others = [i for i, heading in enumerate(headings) if heading != "output"]
    taken = sum(
        max(len(cell) for cell in (*headings[i].split("\n"), *(row[i] for row in rows))) + gap for i in others
    )
    at = headings.index("output")
    table = plain_table(padding=(0, gap - 1, 0, 0))
    for heading in headings:
        left = heading in ("operator", "output")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row[:at], _shortened(row[at], min(NAME_WIDTH, width - taken)), *row[at + 1 :])
    return table


NUMBER, MULT_ADDS, KILOBYTES, SCALE, ZERO = "#", "M mult-\nadds", "weights\nkB", "scale", "zero\npoint"
SQNR, RANGE_USED, SATURATED, NOISE = "SQNR\ndB", "range\nused", "beyond\nrange", "noise\nshare"
DEAD, OUTLIERS, BITS = "dead\nch.", "outl.\nch.", "bits\nused"


def _headings(width: int, compared: bool) -> list[str]:
    wide = width >= WIDE
    if not compared:
        return [*([NUMBER] * wide), "operator", "output", "shape", MULT_ADDS, KILOBYTES, SCALE, ZERO]
    headings = ["operator", "output", "shape", SQNR, RANGE_USED, NOISE]
    return [NUMBER, *headings, SATURATED, DEAD, OUTLIERS, BITS] if wide else headings


def _operator_cells(
    row: OperatorRow, error: LayerError | None, share: LayerShare | None, headings: list[str]
) -> list[str]:
    cells = {
        NUMBER: str(row.number),
        "operator": row.kind,
        "output": row.output,
        "shape": "x".join(map(str, row.shape[1:])),
        MULT_ADDS: f"{row.mult_adds / 1e6:.2f}" if row.mult_adds else "",
        KILOBYTES: f"{row.weight_bytes / 1e3:.1f}" if row.weight_bytes else "",
        SCALE: "" if row.scale is None else f"{row.scale:.4g}",
        ZERO: "" if row.zero_point is None else str(row.zero_point),
        NOISE: f"{share.total:.1%}" if share else "",
        **(_error_cells(error) if error else {}),
    }
    return [cells.get(heading, "") for heading in headings]


def _error_cells(error: LayerError) -> dict[str, str]:
    channels = error.channels
    return {
        SQNR: f"{error.sqnr_db:.1f}",
        RANGE_USED: "" if error.range_used is None else f"{error.range_used:.0%}",
        SATURATED: "" if error.saturated is None else f"{error.saturated:.2%}",
        DEAD: str(channels.dead) if channels and channels.dead else "",
        OUTLIERS: str(channels.outliers) if channels and channels.outliers else "",
        BITS: f"{channels.median_bits:.1f}" if channels else "",
    }


def _shortened(name: str, width: int) -> str:
    """Shorten a node's name to `width` columns, keeping longest the module's number and the last part.

    >>> _shortened("features.13/layers/depthwise/conv", 23)
    'features.13/…/depthwise'
    >>> _shortened("features.13/layers/depthwise/conv", 18)
    '…es.13/…/depthwise'
    """
    if len(name) <= width:
        return name
    name = name.split(";")[0]  # other tools join the names of all operators they fused
    name = name.removesuffix("/conv")  # the operator column says so already
    parts = name.split("/")
    if len(name) > width and len(parts) > 2:
        name = f"{parts[0]}/…/{parts[-1]}"
    return name if len(name) <= width else "…" + name[len(name) - max(width, 2) + 1 :]


def profile_table(profile: OperatorTimes, width: int) -> Table:
    """Return a table with a row for every operator: time in ms, share, mult-adds, mult-adds per ns, and a bar."""
    longest = max(operator.ms for operator in profile.operators)
    table = plain_table(padding=(0, 1, 0, 0))
    for heading in ("operator", "output"):
        table.add_column(heading, no_wrap=True, max_width=NAME_WIDTH, overflow="ellipsis")
    for heading in ("ms", "+-", "share", "M mult-\nadds", "per\nns"):
        table.add_column(heading, justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("", no_wrap=True)
    for operator in profile.operators:
        cells = _time_cells(operator)
        table.add_row(*cells, *([_bar(operator.ms / longest)] if width >= WIDE else []))
    return table


def profile_summary(profile: OperatorTimes) -> list[str]:
    """Return a summary of the table in a few lines."""
    total = sum(profile.kinds.values())
    kinds = ", ".join(f"{kind} {ms / total:.0%}" for kind, ms in profile.kinds.items())
    known = "" if profile.valid else f"; not valid to quote: {'; '.join(profile.reasons)}"
    return [
        f"time: {kinds}",
        f"operators {total:.3f} ms ({profile.clock}; {profile.method}), {profile.threads} thread(s)",
        f"whole network p50 {profile.p50_ms:.3f} ms on {profile.target}, {profile.device}{known}",
    ]


def _time_cells(operator: OperatorTime) -> list[str]:
    work = operator.mult_adds
    return [
        operator.kind or "unknown",
        operator.output or "",
        f"{operator.ms:.3f}",
        _half_width(operator),
        f"{operator.share:.1%}",
        f"{work / 1e6:.2f}" if work else "",
        f"{work / operator.ms / 1e6:.1f}" if work and operator.ms > 0 else "",
    ]


def _half_width(operator: OperatorTime) -> str:
    if operator.low_ms is None or operator.high_ms is None:
        return ""
    return f"{(operator.high_ms - operator.low_ms) / 2:.3f}"


def _bar(part: float) -> str:
    return "█" * round(BAR_WIDTH * max(part, 0.0))
