"""`edgenet camera` in a browser, of this machine or of a phone: a page that runs the network there."""

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
    """What only a page has."""

    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="--on browser: write the page there, for any web server, and end."
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(help="--on browser or adb: file for the latency report that the page sends."),
    ] = None


def show_page(bundle: Path, options: PageOptions, on: str, serve: str, page: Page, json_output: bool) -> None:
    """Serves the page until Ctrl-C, or exports it; prints the latency reports that it sends."""
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
