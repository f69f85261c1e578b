"""From what the user typed to the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgenet.devices.device import Device
from edgenet.devices.target import Adb, Browser, Local, Ssh, parse_target
from edgenet.errors import EdgenetError


@contextmanager
def opened(text: str) -> Iterator[Device]:
    """The device behind a target, for as long as the block lasts; one connection serves all that is asked of it.

    Raises:
        EdgenetError: no such target, or it cannot be reached.
    """
    target = parse_target(text)
    if isinstance(target, Local):
        from edgenet.devices.local import LocalDevice

        yield LocalDevice()
        return
    if isinstance(target, Browser):
        raise EdgenetError("a browser takes no files", "use edgenet bench or edgenet camera --on browser")
    if isinstance(target, Ssh):
        from edgenet.devices.ssh import connected

        with connected(target, text) as device:
            yield device
        return
    from edgenet.devices import adb

    with adb.connected(target, text) as phone:
        yield phone


@contextmanager
def opened_with_camera(text: str) -> Iterator[Device]:
    """As `opened`, for what looks through the device's own camera.

    Raises:
        EdgenetError: a phone, whose camera only its browser reaches.
    """
    if isinstance(parse_target(text), Adb):
        raise EdgenetError(
            "a phone's camera is its browser's alone",
            "edgenet camera BUNDLE --on adb shows it live; photos to train with come from its camera app",
        )
    with opened(text) as device:
        yield device
