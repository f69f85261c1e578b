"""`edgenet bench`: latency on devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, print_json, shown_progress
from edgenet.cli.numbers import numbers

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
ProtocolName = Annotated[
    str,
    typer.Option("--protocol", help="quick: 50 runs and 1 s at least; standard: 1,024 and 60 s, as MLPerf."),
]
Threads = Annotated[
    str, typer.Option("--threads", metavar="N,N,...", help="Numbers to try; each model gets its fastest.")
]
Affinity = Annotated[
    str | None,
    typer.Option(
        "--affinity",
        metavar="CPUS",
        show_default="all, on a phone big",
        help="all; big: not the slow ones; auto tries every cluster; or lists, as 0-3/4-7.",
    ),
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
Settle = Annotated[
    float | None,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        min=0,
        show_default="0, standard: 120",
        help="Longest wait for a cool and calm device.",
    ),
]


def command(
    models: Models,
    on: On = ["local"],  # noqa: B006 (typer copies it)
    out: Out = None,
    protocol: ProtocolName = "quick",
    threads: Threads = "1",
    affinity: Affinity = None,
    sustained: Sustained = None,
    settle: Settle = None,
    profile: Profile = False,
    browser: InBrowser = False,
    benchmark_model: BenchmarkModel = None,
    every: All = False,
    json_output: JsonFlag = False,
) -> None:
    """Measure latency on devices, with everything that decides it.

    A report says itself when it is not valid, and why: throttled, unsteady, too short, not delegated, or in company.
    """
    if every and on != ["adb"]:
        raise typer.BadParameter("--all is every phone: give --on adb with it, and no other target")
    counts = numbers(threads, int, "--threads")

    def show(report: Report) -> None:
        from device_scripts.latency_table import table

        where = f"{report['target']}\n" if every or len(on) > 1 else ""
        typer.echo(f"{where}{table(report)}\n")

    with shown_progress() as progress:
        from edgenet.verbs.bench import BenchOptions, bench, bench_all

        options = BenchOptions(
            protocol,
            counts,
            affinity,
            sustained,
            settle,
            profile,
            browser=browser,
            benchmark_model=benchmark_model,
        )
        told = (lambda report: None) if json_output else show
        if every:
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
