"""`edgenet camera` labels live what a camera sees; `edgenet capture` collects photos of a class with a camera."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from edgenet_device.foreign_text import is_number

from edgenet.commands.console import print_json, say, say_json
from edgenet.commands.options import (
    TARGETS,
    Camera,
    JsonFlag,
    ServeAddress,
    file_ending_in,
    on_option,
    output_file,
)
from edgenet.commands.typer_command import usage_errors

if TYPE_CHECKING:
    from edgenet_device.frames.view import View

    from edgenet.web.site import PageOptions
    from edgenet.workflows.camera import CameraResult
    from edgenet.workflows.measuring import Report

Value = TypeVar("Value")
Bundle = Annotated[Path, typer.Argument(help="The bundle (.edgenet) or .tflite file to run.")]
CameraOn = Annotated[str, on_option(*TARGETS)]
Label = Annotated[str, typer.Argument(help="Name of the class. Its photos go to the folder DIR/LABEL.")]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder that holds the class folders.")]
CaptureOn = Annotated[str, on_option("local", "ssh")]
Every = Annotated[
    float | None,
    typer.Option(
        "--every",
        min=0,
        max=60,
        metavar="S",
        help="Take a photo every S seconds instead of at each key press.",
    ),
]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Stop after this many photos.")]


@dataclass(frozen=True)
class WatchOptions:
    """What to watch, and how to classify the frames."""

    source: Camera = "0"
    top: Annotated[int, typer.Option(min=1, help="Number of labels to show.")] = 5
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Scores below this are shown as 'nothing I know'.")
    ] = 0.3
    smooth: Annotated[
        float,
        typer.Option(
            min=0,
            max=60,
            help="Half-life of the scores' moving average, and how long another label must be right before it is "
            "shown, in seconds; 0 for neither.",
        ),
    ] = 0.3
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, show_default="at most 4, by the device's cores", help="Number of inference threads."
        ),
    ] = None
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after this many frames.")] = None


@dataclass(frozen=True)
class PictureOptions:
    """How the camera is set, and how its picture is turned and cut before anything else sees it."""

    rotate: Annotated[
        int, typer.Option(metavar="0|90|180|270", help="Turn the picture clockwise by so many degrees.")
    ] = 0
    flip: Annotated[
        str | None, typer.Option(metavar="h|v", help="Swap left and right (h) or top and bottom (v).")
    ] = None
    region: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Use only this part of the turned picture: left, top, width and height as shares of it, such as "
            "0.25,0,0.5,1.",
        ),
    ] = None
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", show_default="640x480", help="Ask the camera for pictures of this size."),
    ] = None
    fps: Annotated[
        float | None, typer.Option(metavar="N", help="Ask the camera for so many frames a second.")
    ] = None
    pixel_format: Annotated[
        str | None,
        typer.Option("--format", metavar="MJPG|YUYV", help="Ask a USB camera for this format."),
    ] = None
    exposure: Annotated[
        str | None, typer.Option(metavar="MS|auto", help="Exposure time in milliseconds.")
    ] = None
    white_balance: Annotated[
        str | None, typer.Option(metavar="K|auto", help="Colour temperature in kelvin.")
    ] = None

    def view(self) -> View:
        """Return the view that the options ask for.

        Raises:
            typer.BadParameter: a value is wrong.
        """
        from argparse import ArgumentTypeError

        from edgenet_device.frames.view import View, read_region, read_setting, read_size

        try:
            with usage_errors():
                return View(
                    self.rotate,
                    self.flip,
                    _read(read_region, self.region),
                    _read(read_size, self.size),
                    self.fps,
                    _read(str.upper, self.pixel_format),
                    _read(read_setting, self.exposure),
                    _read(read_setting, self.white_balance),
                )
        except ArgumentTypeError as error:
            raise typer.BadParameter(str(error)) from None


def _read(read: Callable[[str], Value], text: str | None) -> Value | None:
    """Return what an option's text says; None for an option that was not given."""
    return None if text is None else read(text)


@dataclass(frozen=True)
class ShowOptions:
    """Where to show the frames and labels."""

    serve: ServeAddress = None
    record: Annotated[
        Path | None,
        typer.Option(
            help="Record the frames with their labels in this video file.", **file_ending_in(".mp4")
        ),
    ] = None
    window: Annotated[
        bool, typer.Option("--window", help="Show the frames and labels in a window (only with --on local).")
    ] = False


@dataclass(frozen=True)
class PageOutputOptions:
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
        output_file(
            ".json", help="With --on browser or adb: file for the latency report that the page sends."
        ),
    ] = None


def camera_command(
    bundle: Bundle,
    watching: WatchOptions,
    picture: PictureOptions,
    showing: ShowOptions,
    page: PageOutputOptions,
    on: CameraOn = "local",
    json_output: JsonFlag = False,
) -> None:
    """Classify what a camera sees, live, until Ctrl-C.

    With --on local or ssh the network runs on that device, and the labels appear in this terminal, in a window, or on
    a web page. With --on browser or adb the network runs in the browser of this machine or of the phone, on a web page
    that uses the browser's camera. The page's button "Measure speed" sends a latency report.
    """
    from edgenet.devices.device import Adb, Browser
    from edgenet.devices.targets import parse_target

    target = parse_target(on)
    if isinstance(target, Browser | Adb):
        if showing.record or showing.window or watching.frames or watching.source != "0":
            raise typer.BadParameter(
                f"--record, --window, --frames and --source cannot be used with --on {on}"
            )
        if picture != PictureOptions():
            raise typer.BadParameter(f"the camera's picture cannot be set or turned with --on {on}")
        if isinstance(target, Adb) and (page.export or not is_number(showing.serve or "0")):
            raise typer.BadParameter(
                "a phone gets the page through adb: --export needs --on browser, and --serve takes a PORT alone"
            )
        from edgenet.web.site import PageOptions

        options = PageOptions(watching.top, watching.threshold, watching.smooth, watching.threads)
        # At a fixed port the page is found again; a copy of a page at any free port would never be opened.
        options = replace(options, offline=isinstance(target, Adb) or showing.serve not in (None, "0"))
        show_page(bundle, options, on, showing.serve or "0", page, json_output)
    else:
        if page.export or page.out:
            raise typer.BadParameter("--export needs --on browser; --out needs --on browser or --on adb")
        if showing.window and on != "local":
            raise typer.BadParameter(f"--window cannot show the camera of {on}; use --serve")
        _watch(bundle, watching, picture.view(), showing, on, json_output)


def _watch(
    bundle: Path, watching: WatchOptions, view: View, showing: ShowOptions, on: str, json_output: bool
) -> None:
    from edgenet_device.live.outputs import LiveScreen

    from edgenet.workflows.camera import camera

    screen = LiveScreen(sys.stdout)

    def show(state: dict[str, Any]) -> None:
        """Show a state as JSON or on the screen; the first state only says where the page is."""
        if json_output:
            say_json(state)
        elif state["type"] != "start":
            screen.show(state)
        elif state["page"]:
            say(f"live page: {state['page']['url']}", err=True)

    def installing(stage: str, done: int, total: int | None) -> None:
        """Report each installation step as a line; a progress bar would disturb the live screen that follows."""
        if stage not in reported and sys.stderr.isatty():
            reported.add(stage)
            say(f"{on}: {stage}", err=True)

    reported: set[str] = set()
    given = {**asdict(watching), **asdict(showing)}
    result = camera(bundle, on=on, **given, view=view, show=show, progress=installing)
    say_json({"type": "result", **asdict(result)}) if json_output else _print(result)


def _print(result: CameraResult) -> None:
    stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in result.stages_p50_ms.items())
    say(f"{result.frames} frames classified, {result.missed} skipped; p50 in ms: {stages or '-'}")
    if result.recording:
        say(f"recorded {result.recording}")


def show_page(
    bundle: Path, options: PageOptions, on: str, serve: str, page: PageOutputOptions, json_output: bool
) -> None:
    """Serve the page until Ctrl-C and print the latency reports that it sends; or only export the page."""
    export, out = page.export, page.out
    from edgenet_device.web.address import parse_address

    from edgenet.web.site import export_page
    from edgenet.web.viewers import CAMERA_PORT, open_target_browser
    from edgenet.workflows.camera import camera_page

    if export is not None:
        written = export_page(bundle, export, options)
        size = sum(path.stat().st_size for path in written)
        say(f"{export}: {len(written)} files, {size / 1e6:.1f} MB; its README.md says how to serve it")
        return

    def show(report: Report) -> None:
        """Print a report that the page sent, and write it if --out asks for it."""
        from edgenet_device.latency.report import table

        from edgenet.workflows.measuring import write_latency

        if out is not None:
            write_latency(out, report)
        print_json(report) if json_output else say(f"{table(report)}\n")

    with suppress(KeyboardInterrupt), open_target_browser(on, CAMERA_PORT) as viewer:
        camera_page(
            bundle,
            options,
            parse_address(serve),
            viewer,
            measured=show,
            refused=lambda error: say(str(error), err=True),
        )


def capture_command(
    label: Label,
    data: Data,
    picture: PictureOptions,
    on: CaptureOn = "local",
    source: Camera = "0",
    every: Every = None,
    count: Count = None,
    json_output: JsonFlag = False,
) -> None:
    """Collect training photos of one class with a camera.

    A photo is taken at each press of the space bar or Enter, or every S seconds. Blurred photos, and photos almost
    equal to one that is already in the folder, are left out.
    """
    from edgenet.workflows.camera import capture

    result = capture(
        label,
        data,
        on=on,
        source=source,
        every=every,
        count=count,
        view=picture.view(),
        log=lambda line: say(line, err=json_output),
    )
    if json_output:
        print_json(result)
    else:
        say(f"{result.kept} photos kept; {result.folder} has {result.photos}")
