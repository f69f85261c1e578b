"""`edgenet report`: show latency reports on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenet.cli.console import JsonFlag, print_json, shown_progress
from edgenet.text import figure

Results = Annotated[
    list[Path], typer.Argument(help="Reports of `edgenet bench`, or folders with such reports.")
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="Path of the .html page to write. A CSV table and the figures as PNG go into the same folder.",
    ),
]


def command(results: Results, out: Out = Path("report.html"), json_output: JsonFlag = False) -> None:
    """Show latency reports on one HTML page.

    The page shows the distributions, accuracy against latency, cold start and sustained load, and works offline.
    Measurements that are not valid are marked, with the reasons.
    """
    with shown_progress():
        from edgenet.verbs.report import report

        result = report(results, out)
    if json_output:
        print_json(result)
        return
    for row in result.rows:
        valid = "" if row.valid else f"   not valid: {row.reasons}"
        p50, p99 = (figure(ms, "{:.3f}") for ms in (row.p50_ms, row.p99_ms))
        typer.echo(f"{row.label}: p50 {p50} ms, p99 {p99} ms{valid}")
    for path in result.files:
        typer.echo(f"  {path}")
