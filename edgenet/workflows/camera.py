"""The verbs `camera` and `capture`: live labels for a camera's pictures, and collecting photos with a camera."""

from __future__ import annotations

import base64
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgenet_device.collecting.camera_photos import Keys
from edgenet_device.collecting.collector import (
    Collector,
    EverySeconds,
    Photo,
    PhotoTrigger,
    class_folder,
    collect,
)
from edgenet_device.foreign_text import read_json
from edgenet_device.frames.photos import read_photo
from edgenet_device.frames.view import View
from edgenet_device.latency.samples import percentile
from edgenet_device.live.loop import KEPT_TIMES, STAGES
from edgenet_device.source_text import is_live, read_source
from edgenet_device.web.address import Address

from edgenet.devices.device import Device, Running
from edgenet.devices.install import install, install_scripts
from edgenet.devices.local import LocalDevice
from edgenet.devices.private_source import private_source
from edgenet.devices.shell import understood
from edgenet.devices.targets import open_camera_device
from edgenet.errors import EdgenetError, one_line
from edgenet.files import write_atomically
from edgenet.progress import Log, Progress, no_log, silent
from edgenet.web.browser_latency import HERE, WAKE_S, PageContext, latency_report, now
from edgenet.web.server import PageServer
from edgenet.web.site import PageOptions, build_page
from edgenet.web.viewers import THIS_MACHINE, Viewer
from edgenet.workflows.arguments import checked
from edgenet.workflows.measuring import Report

CameraState = dict[str, Any]
"""What a camera shows: the parsed JSON of one line that `camera.py --json` prints."""
_ENDED = (0, 130, 143)
"""Exit statuses of camera.py that are not failures: its source ended, or SIGINT or SIGTERM stopped it."""
_AT_A_KEY_S = 0.2
"""Seconds between pictures sent while waiting for a key: a photo taken by a key is at most this old."""


@dataclass(frozen=True)
class CameraOptions:
    """What to watch and where to show it; see `device_scripts/camera.py`.

    Attributes:
        source: a camera of the device, or a file or URL as the device sees it.
        top: number of labels to show.
        threshold: scores below this (0..1) are shown as nothing the network knows.
        smooth: half-life of the scores' average, seconds.
        threads: inference threads; None for the device's own choice.
        frames: stop after this many frames; None to run until stopped.
        serve: address of the page. A port (0 for any free one) is reachable from this machine only, over ssh
            through a forwarded port; HOST:PORT is reachable from other machines too; None for no page.
        record: MP4 file on this machine, for the frames with their labels.
        window: show the frames in a window; only for a camera on this machine.
        view: how the camera is set, and how its pictures are turned and cut.
    """

    source: str
    top: int
    threshold: float
    smooth: float
    threads: int | None
    frames: int | None
    serve: str | None
    record: Path | None
    window: bool
    view: View


@dataclass(frozen=True)
class CameraResult:
    """The result of `camera`.

    Attributes:
        model: the model and the runtime that ran it.
        frames: number of frames classified.
        missed: frames of the camera that were never classified.
        fps: frames per second over the latest frames.
        stages_p50_ms: median time of each stage over the latest frames, milliseconds.
        recording: path of the recorded video; None if no recording was requested.
    """

    model: str
    frames: int
    missed: int
    fps: float | None
    stages_p50_ms: dict[str, float]
    recording: str | None


@checked
def camera(
    bundle: str | Path,
    *,
    on: str = "local",
    source: str = "0",
    top: int = 5,
    threshold: float = 0.3,
    smooth: float = 0.3,
    threads: int | None = None,
    frames: int | None = None,
    serve: str | None = None,
    record: str | Path | None = None,
    window: bool = False,
    view: View = View(),  # noqa: B008 (frozen)
    show: Callable[[CameraState], None] = lambda state: None,
    progress: Progress = silent,
) -> CameraResult:
    """Run a bundle (or .tflite) on a device's live camera pictures, until they end or Ctrl-C is pressed.

    >>> edgenet.camera("small.edgenet", source="clip.mp4", frames=10).frames
    10

    Args:
        bundle: from `convert` or `package`; first installed on the device, without disturbing what runs
            there.
        on: the device: "local" or "ssh:USER@HOST[:PORT]". (A browser's camera is for the command line alone.)
        source: camera (0, csi or /dev/video0), video, folder of photos or URL, as the device sees it; "@FILE" for
            what that file on this machine holds, so that no list of processes shows a URL's password.
        top: number of labels to show.
        threshold: scores below this (0 to 1) are shown as nothing the network knows.
        smooth: half-life of the scores' moving average, and how long another label must be right before it is
            shown, seconds; 0 for neither.
        threads: inference threads; None for at most 4, by the device's cores.
        frames: stop after this many frames.
        serve: address of a live page: PORT (0 for any free one) for this machine only, or HOST:PORT.
        record: MP4 file on this machine, for the frames with their labels.
        window: show the frames and labels in a window; only for a camera on this machine.
        view: how the camera is set, and how its pictures are turned and cut.
        show: called with every state; its `type` is "start" (with `page`), "frame", or "silent" while no
            frame comes.
        progress: called with the installation's steps.

    Raises:
        EdgenetError: the device, the bundle or the camera cannot be used; the message says why.
        TypeError: an argument has the wrong type.
    """
    recording = None if record is None else Path(record)
    options = CameraOptions(source, top, threshold, smooth, threads, frames, serve, recording, window, view)
    return _watch(Path(bundle), on, options, show, progress)


def _watch(
    bundle: Path, on: str, options: CameraOptions, show: Callable[[CameraState], None], progress: Progress
) -> CameraResult:
    with open_camera_device(on) as device, ExitStack() as open_parts:
        installed = install(bundle, device, progress)
        arguments, record = _arguments(options, device)
        source = open_parts.enter_context(private_source(device, options.source))
        command = installed.script("camera", [*arguments, "--", installed.bundle, source])
        tally = _Tally()
        try:
            running = open_parts.enter_context(device.start(command))
            for state in _states(running, device):
                if state["type"] == "start":
                    state = _with_local_address(state, options, device, open_parts)
                tally.add(state)
                show(state)
        except KeyboardInterrupt:
            running.stop()
        if record is not None and not isinstance(device, LocalDevice):
            assert options.record is not None
            write_atomically(options.record, device.pull(record))
            device.run(["rm", "-f", record])
        return tally.result(options)


def _arguments(options: CameraOptions, device: Device) -> tuple[list[str], str | None]:
    """Return the options for camera.py, and the path on the device that it records to, or None."""
    here = isinstance(device, LocalDevice)
    if options.window and not here:
        raise EdgenetError(f"--window cannot show the camera of {device.name}", "use --serve")
    given = [
        "--json",
        f"--top={options.top}",
        f"--threshold={options.threshold}",
        f"--smooth={options.smooth}",
        *options.view.arguments(),
    ]
    if options.threads is not None:
        given.append(f"--threads={options.threads}")
    if options.frames is not None:
        given.append(f"--frames={options.frames}")
    if options.serve is not None:
        given.append(f"--serve={options.serve}")
    if options.window:
        given.append("--window")
    record = None
    if options.record is not None:
        name = f"recording-{secrets.token_hex(4)}.mp4"
        record = str(options.record.resolve()) if here else f"{device.home}/{name}"
        given.append(f"--record={record}")
    return given, record


def _states(running: Running, device: Device) -> Iterator[CameraState]:
    """Yield the states that camera.py prints, until it ends.

    Raises:
        EdgenetError: camera.py failed.
    """
    for line in running.lines():
        state = _message(line, device)
        if state["type"] == "frame":
            with understood(device):
                state["ms"] = {stage: float(state["ms"][stage]) for stage in STAGES}
        if state["type"] != "summary":  # `_Tally` computes the same, and has it after Ctrl-C too
            yield state
    done = running.finish()
    if done.status not in _ENDED:
        raise EdgenetError(f"{device.name}: {done.last_line().removeprefix('error: ')}")


def _with_local_address(
    state: CameraState, options: CameraOptions, device: Device, open_parts: ExitStack
) -> CameraState:
    """Return the start state with the page's address as seen from here; forward the port if needed."""
    own = options.serve is not None and options.serve.isdecimal()
    if not own or isinstance(device, LocalDevice):
        return state
    with understood(device):
        port = int(state["page"]["port"])
    port = open_parts.enter_context(device.forward(port))
    return {**state, "page": {"url": f"http://127.0.0.1:{port}/", "port": port}}


class _Tally:
    """Collects counts and times from the states."""

    def __init__(self) -> None:
        self._model = ""
        self._last: CameraState = {}
        self._times: deque[list[float]] = deque(maxlen=KEPT_TIMES)

    def add(self, state: CameraState) -> None:
        self._model = state.get("model", self._model)
        if state["type"] == "frame":
            self._last = state
            self._times.append([state["ms"][stage] for stage in STAGES])

    def result(self, options: CameraOptions) -> CameraResult:
        columns = np.array(self._times).T
        medians = {stage: percentile(column, 50) for stage, column in zip(STAGES, columns, strict=False)}
        return CameraResult(
            model=self._model,
            frames=self._last.get("frame", 0),
            missed=self._last.get("missed", 0),
            fps=self._last.get("fps"),
            stages_p50_ms=medians,
            recording=None if options.record is None else str(options.record),
        )


def camera_page(
    bundle: Path,
    options: PageOptions = PageOptions(),  # noqa: B008 (frozen)
    address: Address = HERE,
    viewer: Viewer = THIS_MACHINE,
    measured: Callable[[Report], None] = lambda report: None,
    refused: Callable[[EdgenetError], None] = lambda error: None,
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Serve a page that runs a bundle's network on the browser's own camera, until interrupted.

    Args:
        address: where to serve. Visitors from other machines need its token, and their browsers allow the
            camera only over https.
        viewer: opens the page.
        measured: called with each latency report that a page sends.
        refused: called with the error if a page sends something that is not a latency report.
        goes_on: called at least once a second; serving ends when it returns False.

    Raises:
        EdgenetError: the bundle or the address cannot be used, or the viewer's device is lost.
    """
    site = build_page(bundle, options, takes_reports=True)
    with PageServer(site.files, address) as server:
        # With a token the page may run on any machine, and only that machine's browser can describe it.
        asked = viewer if address.token is None else Viewer(viewer.open_page)
        before = asked.conditions()
        viewer.open_page(server.address.url())
        while goes_on():
            sent = server.next_report(WAKE_S)
            if sent is None:
                viewer.check()
                continue
            around = PageContext(now(), options.measuring, before, asked.conditions(), asked.facts())
            try:
                report = latency_report(site.model, sent, around)
            except EdgenetError as error:  # a bad report must not stop the page
                refused(error)
            else:
                measured({**report, "target": asked.target})


@dataclass(frozen=True)
class CaptureResult:
    """The result of `capture`.

    Attributes:
        folder: the class's folder.
        kept: number of photos collected in this run.
        photos: number of photos now in the folder, including earlier ones.
    """

    folder: str
    kept: int
    photos: int


@checked
def capture(
    label: str,
    data: str | Path,
    *,
    on: str = "local",
    source: str = "0",
    every: float | None = None,
    count: int | None = None,
    view: View = View(),  # noqa: B008 (frozen)
    log: Log = no_log,
    progress: Progress = silent,
) -> CaptureResult:
    """Collect photos of a class into `data`/`label`, leaving out blurred photos and near copies.

    >>> edgenet.capture("bird", "collected", source="clip.mp4", count=2).photos
    2

    Args:
        label: the class; it must not be a path, and it is not sent to the device.
        data: the folder of the class folders, on this machine.
        on: the device whose camera is used, as `camera` takes it.
        source: a camera of the device, or a file or URL as the device sees it, as `camera` takes it.
        every: seconds between two photos; None to take one at each key press.
        count: stop after this many photos; None to run until stopped.
        view: how the camera is set, and how its pictures are turned and cut: photos to train with should look like
            those that are classified later.
        log: called with a line for every photo kept, and with the reason when one is left out (the same
            reason is not repeated until a photo is kept).
        progress: called with the installation's steps.

    Raises:
        EdgenetError: the label is not a plain name, or the device or its camera cannot be used; the message
            says why.
        TypeError: an argument has the wrong type.
    """
    folder = class_folder(Path(data), label)
    collector = Collector(folder)
    with open_camera_device(on) as device, ExitStack() as open_parts:
        installed = install_scripts(device, progress)
        trigger: PhotoTrigger = EverySeconds(every or 0.0)
        if every is None and is_live(read_source(source)):
            trigger = open_parts.enter_context(Keys())
            log("space or Enter takes a photo, q ends")
        pause = _AT_A_KEY_S if every is None else min(0.5, every)
        there = open_parts.enter_context(private_source(device, source))
        command = installed.program("send-photos", [f"--every={pause}", *view.arguments(), "--", there])
        running = open_parts.enter_context(device.start(command))
        with suppress(KeyboardInterrupt):
            collect(_photos(running, device, log), collector, trigger, log, count)
    return CaptureResult(str(folder), collector.kept, len(list(folder.glob("*.jpg"))))


def _photos(running: Running, device: Device, log: Log) -> Iterator[Photo]:
    """Yield the photos that `send-photos` sends, until it ends; pass its other messages to `log`.

    Raises:
        EdgenetError: `send-photos` failed.
    """
    for line in running.lines():
        sent = _message(line, device)
        if sent["type"] != "photo":
            log(str(sent.get("lost")))
            continue
        try:
            jpeg = base64.b64decode(str(sent.get("jpeg")), validate=True)
            photo = Photo(read_photo(jpeg, f"a photo of {device.name}"), jpeg)
        except (ValueError, EdgenetError) as error:
            log(f"a photo was lost on its way: {error}")
        else:
            yield photo
    done = running.finish()
    if done.status:
        raise EdgenetError(f"{device.name}: {done.last_line().removeprefix('error: ')}")


def _message(line: str, device: Device) -> dict[str, Any]:
    """Return a line that a script on the device printed as JSON.

    Raises:
        EdgenetError: it is not an object with a type.
    """
    try:
        message: dict[str, Any] = read_json(line)
        message["type"]
    except (ValueError, TypeError, KeyError):
        raise EdgenetError(
            f"{device.name} sends something else than the camera's JSON: {one_line(line, 60)}", "deploy again"
        ) from None
    return message
