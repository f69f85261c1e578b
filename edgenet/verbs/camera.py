"""The verb `camera`: shows live labels for a camera's pictures, on this machine or another device."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from device_scripts.sample_statistics import percentile
from device_scripts.stage_summary import KEPT_TIMES, STAGES
from edgenet.devices.device import Device, Running
from edgenet.devices.installing import install
from edgenet.devices.local import LocalDevice
from edgenet.devices.opening import opened_with_camera
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.progress import Progress, silent

State = dict[str, Any]
_ENDED = (0, 130, 143)
"""Exit statuses of camera.py that are not failures: its source ended, or SIGINT or SIGTERM stopped it."""


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
    """

    source: str = "0"
    top: int = 5
    threshold: float = 0.3
    smooth: float = 0.3
    threads: int | None = None
    frames: int | None = None
    serve: str | None = None
    record: Path | None = None
    window: bool = False


@dataclass(frozen=True)
class Watched:
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


def camera(
    bundle: Path,
    on: str = "local",
    options: CameraOptions | None = None,
    show: Callable[[State], None] = lambda state: None,
    progress: Progress = silent,
) -> Watched:
    """Run a bundle (or .tflite) on a device's live camera pictures, until they end or Ctrl-C is pressed.

    Args:
        bundle: from `convert` or `package`; first installed on the device, without disturbing what runs
            there.
        on: the target.
        show: called with every state; its `type` is "start" (with `page`), "frame", or "silent" while no
            frame comes.
        progress: called with the installation's steps.

    Raises:
        EdgenetError: the device, the bundle or the camera cannot be used; the message says why.
    """
    options = options or CameraOptions()
    with opened_with_camera(on) as device, ExitStack() as open_parts:
        installed = install(bundle, device, progress)
        arguments, record = _arguments(options, device)
        command = installed.script("camera", [*arguments, "--", installed.bundle, options.source])
        tally = _Tally()
        try:
            running = open_parts.enter_context(device.start(command))
            for state in _states(running, device):
                if state["type"] == "start":
                    state = _reached(state, options, device, open_parts)
                tally.add(state)
                show(state)
        except KeyboardInterrupt:
            running.stop()
        if record is not None and not isinstance(device, LocalDevice):
            assert options.record is not None
            write_atomically(options.record, device.pull(record))
            device.run(["rm", "-f", record])
        return tally.watched(options)


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


def _states(running: Running, device: Device) -> Iterator[State]:
    """Yield the states that camera.py prints, until it ends.

    Raises:
        EdgenetError: camera.py failed.
    """
    for line in running.lines():
        state = json.loads(line)
        if state["type"] != "summary":  # `_Tally` computes the same, and has it after Ctrl-C too
            yield state
    done = running.finish()
    if done.status not in _ENDED:
        raise EdgenetError(f"{device.name}: {done.last_words().removeprefix('error: ')}")


def _reached(state: State, options: CameraOptions, device: Device, open_parts: ExitStack) -> State:
    """Return the start state with the page's address as seen from here; forward the port if needed."""
    own = options.serve is not None and options.serve.isdecimal()
    if not own or isinstance(device, LocalDevice):
        return state
    port = open_parts.enter_context(device.forward(state["page"]["port"]))
    return {**state, "page": {"url": f"http://127.0.0.1:{port}/", "port": port}}


class _Tally:
    """Collects counts and times from the states."""

    def __init__(self) -> None:
        self._model = ""
        self._last: State = {}
        self._times: deque[list[float]] = deque(maxlen=KEPT_TIMES)

    def add(self, state: State) -> None:
        self._model = state.get("model", self._model)
        if state["type"] == "frame":
            self._last = state
            self._times.append([state["ms"][stage] for stage in STAGES])

    def watched(self, options: CameraOptions) -> Watched:
        columns = np.array(self._times).T
        medians = {stage: percentile(column, 50) for stage, column in zip(STAGES, columns, strict=False)}
        return Watched(
            model=self._model,
            frames=self._last.get("frame", 0),
            missed=self._last.get("missed", 0),
            fps=self._last.get("fps"),
            stages_p50_ms=medians,
            recording=None if options.record is None else str(options.record),
        )
