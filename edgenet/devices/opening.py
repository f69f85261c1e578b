"""Opening the device that a target names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgenet.devices.device import Device
from edgenet.devices.target import Adb, Browser, Local, Ssh, parse_target
from edgenet.errors import EdgenetError


@contextmanager
def opened(text: str) -> Iterator[Device]:
    """Yield the device of a target for the duration of the block, over one shared connection.

    Raises:
        EdgenetError: the target is invalid, a browser, or cannot be reached.
    """
    target = parse_target(text)
    if isinstance(target, Local):
        from edgenet.devices.local import LocalDevice

        yield LocalDevice()
        return
    if isinstance(target, Browser):
        raise EdgenetError(
            "files cannot be copied to a browser", "use edgenet bench or edgenet camera --on browser"
        )
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
    """Like `opened`, for commands that use the device's own camera.

    Raises:
        EdgenetError: the target is a phone (only its browser can use its camera), or see `opened`.
    """
    if isinstance(parse_target(text), Adb):
        raise EdgenetError(
            "only the phone's browser can use its camera",
            "edgenet camera BUNDLE --on adb shows it live; take photos for training with the phone's camera app",
        )
    with opened(text) as device:
        yield device
