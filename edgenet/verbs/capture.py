"""The verb `capture`: labelled photos from a device's own camera, to train with."""

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
"""How old a picture may be that is taken at the press of a key."""


@dataclass(frozen=True)
class Captured:
    """What was collected.

    Attributes:
        folder: of the class.
        kept: photos collected now.
        photos: photos in the folder, with those of before.
    """

    folder: str
    kept: int
    photos: int


@dataclass(frozen=True)
class CaptureOptions:
    """When to take a photo.

    Attributes:
        source: a camera of the device, or a file or URL as the device sees it.
        every: seconds between two photos; None: one at each press of a key.
        count: stop after so many; None to go on.
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
    """Collects photos of a class into `data`/`label`: sharp ones, and no two alike.

    Args:
        label: the class; never a path, and never seen by the device.
        data: the folder of the class folders, on this machine.
        on: the target whose camera it is.
        say: told of every photo kept, and once why others are not.

    Raises:
        EdgenetError: the label is no plain name, or the device or its camera cannot be used; says why.
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
    """What send_photos.py sends.

    Raises:
        EdgenetError: it failed.
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
