"""`edgenet bench`: measure latency on devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import print_json, shown_progress
from edgenet.commands.options import (
    NOT_VALID,
    TARGETS,
    JsonFlag,
    Profile,
    RequireValid,
    TimingOptions,
    on_option,
)

if TYPE_CHECKING:
    from edgenet.workflows.bench import Bench
    from edgenet.workflows.measuring import Report

Models = Annotated[
    list[Path],
    typer.Argument(
        help="Bundles (.edgenet) or .tflite files to measure. Several files are measured in turns."
    ),
]
On = Annotated[list[str], on_option(*TARGETS, several=True)]
Out = Annotated[
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
    on: On = ["local"],  # noqa: B006 (typer copies it)
    out: Out = None,
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
        typer.echo(f"{where}{table(report)}\n")

    with shown_progress() as progress:
        from edgenet.workflows.bench import bench

        shown = (lambda report: None) if json_output else show
        result = bench(models, on=on, all=route.every, out=out, progress=progress, show=shown, **options)
    _print(result, json_output)
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


def _print(result: Bench, json_output: bool) -> None:
    """Print what is known only at the end; the reports were printed one by one, except as JSON."""
    if json_output:
        print_json(result.reports)
    else:
        for path in result.files:
            typer.echo(f"  {path}")
    for failure in result.failures:
        found = failure.found.removeprefix(f"{failure.target} ")
        typer.echo(f"{failure.target}: {found}; {failure.remedy}", err=True)
