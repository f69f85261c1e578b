"""The latency commands: `edgenet bench` measures on devices and `edgenet report` shows the reports on one page.

`edgenet compare` tells whether one network is faster than another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import print_json, say, shown_progress, warn
from edgenet.commands.options import (
    NOT_VALID,
    TARGETS,
    JsonFlag,
    Profile,
    RequireValid,
    TimingOptions,
    on_option,
    output_file,
)

if TYPE_CHECKING:
    from edgenet.workflows.bench import Bench
    from edgenet.workflows.measuring import Report
    from edgenet.workflows.reports import Comparison, Side

Models = Annotated[
    list[Path],
    typer.Argument(
        help="Bundles (.edgenet) or .tflite files to measure. Several files are measured in turns."
    ),
]
Targets = Annotated[list[str], on_option(*TARGETS, several=True)]
ReportFolder = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder for the reports, which are named MODEL.on-TARGET.json."),
]
Sustained = Annotated[
    float | None,
    typer.Option(
        "--sustained",
        metavar="SECONDS",
        help="Also measure under sustained load for this long, at least 60 s.",
    ),
]
InBrowser = Annotated[
    bool,
    typer.Option(
        "--browser",
        help="With --on adb: measure in the phone's browser, so that nothing is copied to the phone.",
    ),
]
BenchmarkModel = Annotated[
    Path | None,
    typer.Option(
        "--benchmark-model",
        metavar="PROGRAM",
        help="Measure with this benchmark_model program of TensorFlow Lite, built for the device.",
    ),
]
All = Annotated[
    bool,
    typer.Option(
        "--all", help="With --on adb: measure on every attached phone, on all of them at the same time."
    ),
]


@dataclass(frozen=True)
class BenchScope:
    """What to measure in addition to the latency."""

    sustained: Sustained = None
    profile: Profile = False


@dataclass(frozen=True)
class DeviceRoute:
    """How the measurement reaches the device."""

    browser: InBrowser = False
    benchmark_model: BenchmarkModel = None
    every: All = False


def bench_command(
    models: Models,
    timing: TimingOptions,
    scope: BenchScope,
    route: DeviceRoute,
    on: Targets = ["local"],  # noqa: B006 (typer copies it)
    out: ReportFolder = None,
    require_valid: RequireValid = False,
    json_output: JsonFlag = False,
) -> None:
    """Measure the latency of models on devices.

    Each report records what affects the result. A report is marked as not valid, with the reasons, if the device was
    throttled, the times were unsteady, there were too few runs, no delegate ran the network, or other programs were
    using the CPU.
    """
    _check(on, route)
    options = timing.arguments(
        sustained=scope.sustained,
        profile=scope.profile,
        browser=route.browser,
        benchmark_model=route.benchmark_model,
    )

    def show(report: Report) -> None:
        """Print a report as soon as it is measured."""
        from edgenet_device.latency.report import table

        where = f"{report['target']}\n" if route.every or len(on) > 1 else ""
        say(f"{where}{table(report)}\n")

    with shown_progress() as progress:
        from edgenet.workflows.bench import bench

        shown = (lambda report: None) if json_output else show
        result = bench(models, on=on, all=route.every, out=out, progress=progress, show=shown, **options)
    _print_end(result, json_output)
    if result.failures:
        raise typer.Exit(1)
    if require_valid and not all(report["valid"] for report in result.reports):
        raise typer.Exit(NOT_VALID)


def _check(on: list[str], route: DeviceRoute) -> None:
    if route.every and on != ["adb"]:
        raise typer.BadParameter("--all measures on every phone; give it with --on adb and no other target")
    others = [target for target in on if not target.startswith("adb")]
    if route.browser and others:
        raise typer.BadParameter(
            f"--browser is for phones (--on adb); to measure in this machine's browser, give --on browser instead of "
            f"--on {others[0]} --browser"
        )


def _print_end(result: Bench, json_output: bool) -> None:
    """Print what is known only at the end; the reports were printed one by one, except as JSON."""
    if json_output:
        print_json(result.reports)
    else:
        for path in result.files:
            say(f"  {path}")
    warn(result.notes)
    for failure in result.failures:
        found = failure.found.removeprefix(f"{failure.target} ")
        say(f"{failure.target}: {found}; {failure.remedy}", err=True)


Results = Annotated[
    list[Path], typer.Argument(help="Reports of `edgenet bench`, or folders with such reports.")
]
Page = Annotated[
    Path,
    output_file(
        ".html",
        help="Path of the page to write. A CSV table and the figures as PNG go into the same folder.",
    ),
]
FirstNetwork = Annotated[
    Path,
    typer.Argument(
        help="First network: a latency report (.json), or a bundle or .tflite file to measure now."
    ),
]
SecondNetwork = Annotated[
    Path, typer.Argument(help="Second network, given in the same way: both as reports or both as models.")
]
Target = Annotated[str, on_option(*TARGETS)]


def report_command(results: Results, out: Page = Path("report.html"), json_output: JsonFlag = False) -> None:
    """Show latency reports on one HTML page.

    The page shows the distributions, accuracy against latency, cold start and sustained load, and works offline.
    Measurements that are not valid are marked, with the reasons.
    """
    with shown_progress():
        from edgenet.latency.report_rows import format_or_unknown
        from edgenet.workflows.reports import report

        result = report(results, out)
    if json_output:
        print_json(result)
        return
    for row in result.rows:
        valid = "" if row.valid else f"   not valid: {row.reasons}"
        p50, p99 = (format_or_unknown(ms, "{:.3f}") for ms in (row.p50_ms, row.p99_ms))
        say(f"{row.label}: p50 {p50} ms, p99 {p99} ms{valid}")
    for path in result.files:
        say(f"  {path}")


def compare_command(
    a: FirstNetwork,
    b: SecondNetwork,
    timing: TimingOptions,
    on: Target = "local",
    require_valid: RequireValid = False,
    json_output: JsonFlag = False,
) -> None:
    """Tell whether one network is faster than another.

    The latencies come from two reports, or are measured now in turns. The command prints the difference of the
    medians with its 95 % confidence interval, and "no difference" if the interval contains zero.
    """
    if (a.suffix.lower() == ".json") is not (b.suffix.lower() == ".json"):
        raise typer.BadParameter(f"of {a} and {b} only one is a report; give two reports, or two models")
    options = timing.arguments()
    with shown_progress() as progress:
        from edgenet.workflows.reports import compare

        result = compare(a, b, on=on, progress=progress, **options)
    warn(result.warnings)
    print_json(result) if json_output else _print_comparison(result)
    if require_valid and not (result.a.valid and result.b.valid):
        raise typer.Exit(NOT_VALID)


def _print_comparison(result: Comparison) -> None:
    for letter, side in (("a", result.a), ("b", result.b)):
        say(f"{letter}  {_side(side)}")
    found = result.difference
    gap, ratio = found.difference_ms, found.ratio
    say(f"b - a  {gap.value:+.4f} ms   (95 % interval {gap.low:+.4f} to {gap.high:+.4f})")
    say(f"b / a  {ratio.value:.4f}   (95 % interval {ratio.low:.4f} to {ratio.high:.4f})")
    subject = found.verdict if found.verdict in ("no difference", "cannot tell") else f"b is {found.verdict}"
    say(f"{subject}: {found.why}")


def _side(side: Side) -> str:
    from edgenet.latency.report_rows import format_or_unknown

    p50, p90 = (format_or_unknown(ms, "{:.4f}") for ms in (side.p50_ms, side.p90_ms))
    return f"{side.name}: p50 {p50} ms, p90 {p90} ms, {side.n} runs, {side.threads} thread(s), {side.device}"
