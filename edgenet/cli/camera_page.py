"""`edgenet camera` in a browser: a web page that runs the network there, on this machine or on a phone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import print_json

if TYPE_CHECKING:
    from edgenet.latency.measuring import Report
    from edgenet.webpage.site import PageOptions


@dataclass(frozen=True)
class Page:
    """The options that only the web page has."""

    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --on browser: write the page into this folder, for any web server, and exit.",
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(help="With --on browser or adb: file for the latency report that the page sends."),
    ] = None


def show_page(bundle: Path, options: PageOptions, on: str, serve: str, page: Page, json_output: bool) -> None:
    """Serve the page until Ctrl-C and print the latency reports that it sends; or only export the page."""
    export, out = page.export, page.out
    from device_scripts.page_access import parse_address
    from edgenet.verbs.camera_page import camera_page
    from edgenet.webpage.export import export_page
    from edgenet.webpage.opening import browser_of

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

    with suppress(KeyboardInterrupt), browser_of(on) as viewer:
        camera_page(
            bundle,
            options,
            parse_address(serve),
            viewer,
            measured=show,
            refused=lambda error: typer.echo(str(error), err=True),
        )
