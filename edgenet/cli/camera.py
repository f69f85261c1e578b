"""`edgenet camera`: what the network sees live, in a browser."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, print_json

if TYPE_CHECKING:
    from edgenet.latency.measuring import Report

Bundle = Annotated[Path, typer.Argument(help="Bundle, or a .tflite with labels.")]
On = Annotated[str, typer.Option("--on", metavar="TARGET", help="browser: this machine's, with its camera.")]
Serve = Annotated[
    str,
    typer.Option(
        "--serve", metavar="ADDRESS", help="Serve the page at PORT, HOST or HOST:PORT (a free port)."
    ),
]
Export = Annotated[
    Path | None,
    typer.Option("--export", metavar="FOLDER", help="Write the page there, for any web server, and end."),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="File for the latency report that the page sends.")
]
Top = Annotated[int, typer.Option("--top", min=1, help="Labels to show.")]
Threshold = Annotated[
    float, typer.Option("--threshold", min=0, max=1, help="A best score below it is nothing it knows.")
]
Smooth = Annotated[
    float, typer.Option("--smooth", min=0, max=60, help="Half-life of the scores' average, seconds.")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Of the network.", show_default="up to 4"),
]


def command(
    bundle: Bundle,
    on: On = "browser",
    serve: Serve = "0",
    export: Export = None,
    out: Out = None,
    top: Top = 5,
    threshold: Threshold = 0.3,
    smooth: Smooth = 0.3,
    threads: Threads = None,
    json_output: JsonFlag = False,
) -> None:
    """Say live what the camera sees, on a page that runs the network in the browser; Ctrl-C ends it.

    The page's button "Measure speed" sends a latency report, which is printed here.
    """
    from device_scripts.page_access import parse_address
    from edgenet.verbs.camera import PageOptions, camera
    from edgenet.webpage.export import export_page

    options = PageOptions(top, threshold, smooth, threads)
    if export is not None:
        written = export_page(bundle, export, options)
        size = sum(path.stat().st_size for path in written)
        typer.echo(f"{export}: {len(written)} files, {size / 1e6:.1f} MB; its README.md says how to serve it")
        return

    def show(report: Report) -> None:
        from device_scripts.latency_table import table
        from edgenet.verbs.bench import write_latency

        if out is not None:
            write_latency(out, report)
        print_json(report) if json_output else typer.echo(f"{table(report)}\n")

    with suppress(KeyboardInterrupt):
        camera(
            bundle,
            on,
            options,
            parse_address(serve),
            measured=show,
            refused=lambda error: typer.echo(str(error), err=True),
        )
