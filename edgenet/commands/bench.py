"""`edgenet bench`: measure latency on devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import JsonFlag, print_json, shown_progress
from edgenet.commands.options import TimingOptions, flatten_option_groups

if TYPE_CHECKING:
    from edgenet.workflows.measuring import Report


Models = Annotated[
    list[Path],
    typer.Argument(
        help="Bundles (.edgenet) or .tflite files to measure. Several files are measured in turns."
    ),
]
On = Annotated[
    list[str],
    typer.Option(
        "--on",
        metavar="TARGET",
        help="Where to measure: local, browser, ssh:USER@HOST[:PORT], adb or adb:SERIAL. Repeat it for more targets.",
    ),
]
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
Profile = Annotated[bool, typer.Option("--profile", help="Also measure the time of every operator.")]
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


@flatten_option_groups
def bench_command(
    models: Models,
    timing: TimingOptions,
    extent: BenchScope,
    route: DeviceRoute,
    on: On = ["local"],  # noqa: B006 (typer copies it)
    out: Out = None,
    json_output: JsonFlag = False,
) -> None:
    """Measure the latency of models on devices.

    Each report records what affects the result. A report is marked as not valid, with the reasons, if the device was
    throttled, the times were unsteady, there were too few runs, no delegate ran the network, or other programs were
    using the CPU.
    """
    if route.every and on != ["adb"]:
        raise typer.BadParameter("--all measures on every phone; give it with --on adb and no other target")
    options = timing.with_more(
        sustained_s=extent.sustained,
        profile=extent.profile,
        browser=route.browser,
        benchmark_model=route.benchmark_model,
    )

    def show(report: Report) -> None:
        """Print a report as soon as it is measured."""
        from edgenet_device.latency.report import table

        where = f"{report['target']}\n" if route.every or len(on) > 1 else ""
        typer.echo(f"{where}{table(report)}\n")

    with shown_progress() as progress:
        from edgenet.workflows.bench import bench, bench_all

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
