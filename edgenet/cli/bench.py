"""`edgenet bench`: latency on devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, print_json, shown_progress
from edgenet.cli.option_groups import grouped
from edgenet.cli.timing_options import TimingOptions

if TYPE_CHECKING:
    from edgenet.latency.measuring import Report

Models = Annotated[
    list[Path], typer.Argument(help="Bundles or .tflite files; several are measured in turns.")
]
On = Annotated[
    list[str],
    typer.Option(
        "--on", metavar="TARGET", help="local, browser, ssh:USER@HOST, adb or adb:SERIAL; also several."
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for the reports, NAME.on-TARGET.json each.")
]
Sustained = Annotated[
    float | None, typer.Option("--sustained", metavar="SECONDS", help="Also load it so long, 60 at least.")
]
Profile = Annotated[bool, typer.Option("--profile", help="Also time every operator.")]
InBrowser = Annotated[
    bool, typer.Option("--browser", help="On a phone (adb): in its browser, where nothing is copied to it.")
]
BenchmarkModel = Annotated[
    Path | None,
    typer.Option(
        "--benchmark-model",
        metavar="PROGRAM",
        help="Measure with this benchmark_model of TensorFlow Lite, built for the device.",
    ),
]
All = Annotated[
    bool, typer.Option("--all", help="With --on adb: every phone that is attached, all of them at once.")
]


@dataclass(frozen=True)
class Extent:
    """What else is measured."""

    sustained: Sustained = None
    profile: Profile = False


@dataclass(frozen=True)
class Route:
    """Which way to the device."""

    browser: InBrowser = False
    benchmark_model: BenchmarkModel = None
    every: All = False


@grouped
def command(
    models: Models,
    timing: TimingOptions,
    extent: Extent,
    route: Route,
    on: On = ["local"],  # noqa: B006 (typer copies it)
    out: Out = None,
    json_output: JsonFlag = False,
) -> None:
    """Measure latency on devices, with everything that decides it.

    A report says itself when it is not valid, and why: throttled, unsteady, too short, not delegated, or in company.
    """
    if route.every and on != ["adb"]:
        raise typer.BadParameter("--all is every phone: give --on adb with it, and no other target")
    options = timing.with_more(
        sustained_s=extent.sustained,
        profile=extent.profile,
        browser=route.browser,
        benchmark_model=route.benchmark_model,
    )

    def show(report: Report) -> None:
        """For people, as soon as it is there."""
        from device_scripts.latency_table import table

        where = f"{report['target']}\n" if route.every or len(on) > 1 else ""
        typer.echo(f"{where}{table(report)}\n")

    with shown_progress() as progress:
        from edgenet.verbs.bench import bench, bench_all

        told = (lambda report: None) if json_output else show
        if route.every:
            result = bench_all(models, options, out, progress, told)
        else:
            result = bench(models, on, options, out, progress, told)
    if json_output:
        print_json(result.reports)
    else:
        for path in result.files:
            typer.echo(f"  {path}")
    for failure in result.failures:
        found = failure.found.removeprefix(f"{failure.target} ")
        typer.echo(f"{failure.target}: {found}; {failure.remedy}", err=True)
    if result.failures:
        raise typer.Exit(1)
