"""`edgenet camera`: live labels of a camera, wherever it is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.cli.camera_page import Page, show_page
from edgenet.cli.console import JsonFlag
from edgenet.cli.option_groups import grouped

if TYPE_CHECKING:
    from edgenet.verbs.camera import CameraOptions, Watched

Bundle = Annotated[Path, typer.Argument(help="The bundle or .tflite.")]
On = Annotated[
    str,
    typer.Option("--on", metavar="TARGET", help="local, browser, ssh:USER@HOST[:PORT], adb or adb:SERIAL."),
]


@dataclass(frozen=True)
class Watching:
    """How to watch."""

    source: Annotated[
        str, typer.Option(help="Camera (0, csi or /dev/video0), video, folder or URL, as the device sees it.")
    ] = "0"
    top: Annotated[int, typer.Option(min=1, help="Labels to show.")] = 5
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Below it is nothing it knows.")] = 0.3
    smooth: Annotated[float, typer.Option(min=0, max=60, help="Half-life of the scores' average, s.")] = 0.3
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of inference.")] = None
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None


@dataclass(frozen=True)
class Showing:
    """Where to show it."""

    serve: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A page at PORT (0: a free one), which this machine reaches, or HOST:PORT.",
        ),
    ] = None
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.mp4", help="The frames with their labels, as a video.")
    ] = None
    window: Annotated[bool, typer.Option("--window", help="Show them in a window (local only).")] = False


@grouped
def command(
    bundle: Bundle,
    watching: Watching,
    showing: Showing,
    page: Page,
    on: On = "local",
    json_output: JsonFlag = False,
) -> None:
    """Say live what a camera sees; Ctrl-C ends it.

    A device's camera: here in the terminal, in a window, or on a page for any browser. With --on browser or --on adb:
    the camera of that browser, or of the phone's, on a page that runs the network there; its button "Measure speed"
    sends a latency report.
    """
    from edgenet.devices.target import Adb, Browser, parse_target

    target = parse_target(on)
    if isinstance(target, Browser | Adb):
        if showing.record or showing.window or watching.frames or watching.source != "0":
            raise typer.BadParameter(f"--record, --window, --frames and --source are not for --on {on}")
        if isinstance(target, Adb) and (page.export or not (showing.serve or "0").isdigit()):
            raise typer.BadParameter(
                "a phone gets the page through its cable: --export needs --on browser, and --serve a PORT alone"
            )
        from edgenet.webpage.site import PageOptions

        options = PageOptions(watching.top, watching.threshold, watching.smooth, watching.threads)
        show_page(bundle, options, on, showing.serve or "0", page, json_output)
    else:
        if page.export or page.out:
            raise typer.BadParameter("--export needs --on browser, --out that or --on adb")
        from edgenet.verbs.camera import CameraOptions

        _watch(bundle, CameraOptions(**asdict(watching), **asdict(showing)), on, json_output)


def _watch(bundle: Path, options: CameraOptions, on: str, json_output: bool) -> None:
    from device_scripts.live_screen import LiveScreen
    from edgenet.verbs.camera import camera

    screen = LiveScreen(sys.stdout)

    def show(state: dict[str, Any]) -> None:
        if json_output:
            typer.echo(json.dumps(state))
        elif state["type"] != "start":
            screen.show(state)
        elif state["page"]:
            typer.echo(f"live page: {state['page']['url']}", err=True)

    def installing(stage: str, done: int, total: int | None) -> None:
        """In lines: a bar would stand in the way of the screen that follows."""
        if stage not in told and sys.stderr.isatty():
            told.add(stage)
            typer.echo(f"{on}: {stage}", err=True)

    told: set[str] = set()
    result = camera(bundle, on, options, show, installing)
    typer.echo(json.dumps({"type": "result", **asdict(result)})) if json_output else _print(result)


def _print(result: Watched) -> None:
    stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in result.stages_p50_ms.items())
    typer.echo(f"{result.frames} frames, {result.missed} not looked at; p50 in ms: {stages or '-'}")
    if result.recording:
        typer.echo(f"recorded {result.recording}")
