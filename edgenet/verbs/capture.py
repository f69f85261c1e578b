"""The verb `capture`: collects labelled training photos from a device's own camera."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from device_scripts.collecting import Collector, EverySeconds, Moments, Photo, class_folder, collect
from device_scripts.frames import is_live
from device_scripts.keys import Keys
from edgenet.devices.device import Device, Running
from edgenet.devices.installing import install_scripts
from edgenet.devices.opening import opened_with_camera
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent

_AT_A_KEY_S = 0.2
"""Seconds between pictures sent while waiting for a key: a photo taken by a key is at most this old."""


@dataclass(frozen=True)
class Captured:
    """The result of `capture`.

    Attributes:
        folder: the class's folder.
        kept: number of photos collected in this run.
        photos: number of photos now in the folder, including earlier ones.
    """

    folder: str
    kept: int
    photos: int


@dataclass(frozen=True)
class CaptureOptions:
    """Where to take photos from, and when.

    Attributes:
        source: a camera of the device, or a file or URL as the device sees it.
        every: seconds between two photos; None to take one at each key press.
        count: stop after this many photos; None to run until stopped.
    """

    source: str = "0"
    every: float | None = None
    count: int | None = None


def capture(
    label: str,
    data: Path,
    on: str = "local",
    options: CaptureOptions | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = silent,
) -> Captured:
    """Collect photos of a class into `data`/`label`, leaving out blurred photos and near copies.

    Args:
        label: the class; it must not be a path, and it is not sent to the device.
        data: the folder of the class folders, on this machine.
        on: the target whose camera is used.
        say: called with a line for every photo kept, and with the reason when one is left out (the same
            reason is not repeated until a photo is kept).

    Raises:
        EdgenetError: the label is not a plain name, or the device or its camera cannot be used; the message
            says why.
    """
    options = options or CaptureOptions()
    folder = class_folder(data, label)
    collector = Collector(folder)
    with opened_with_camera(on) as device, ExitStack() as open_parts:
        installed = install_scripts(device, progress)
        moments: Moments = EverySeconds(options.every or 0.0)
        if options.every is None and is_live(options.source):
            moments = open_parts.enter_context(Keys())
            say("space or Enter takes a photo, q ends")
        pause = _AT_A_KEY_S if options.every is None else min(0.5, options.every)
        command = installed.script("send_photos", [f"--every={pause}", "--", options.source])
        running = open_parts.enter_context(device.start(command))
        with suppress(KeyboardInterrupt):
            collect(_photos(running, device, say), collector, moments, say, options.count)
    return Captured(str(folder), collector.kept, len(list(folder.glob("*.jpg"))))


def _photos(running: Running, device: Device, say: Callable[[str], None]) -> Iterator[Photo]:
    """Yield the photos that send_photos.py sends, until it ends; pass its other messages to `say`.

    Raises:
        EdgenetError: send_photos.py failed.
    """
    for line in running.lines():
        sent = json.loads(line)
        if sent["type"] != "photo":
            say(sent["lost"])
            continue
        jpeg = base64.b64decode(sent["jpeg"])
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if pixels is not None:
            yield Photo(pixels, jpeg)
    done = running.finish()
    if done.status:
        raise EdgenetError(f"{device.name}: {done.last_words().removeprefix('error: ')}")
