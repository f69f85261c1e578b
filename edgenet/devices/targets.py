"""From the target that the user typed after --on to an open device.

A target is `local`, `browser`, `ssh:[USER@]HOST[:PORT]`, `adb`, `adb:SERIAL`, or a device of a fleet file:
`fleet.toml:NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgenet.devices.adb import open_phone
from edgenet.devices.device import Adb, Device, Local, Ssh, Target, read_target
from edgenet.devices.fleet_file import fleet_devices, is_fleet
from edgenet.devices.local import LocalDevice
from edgenet.devices.ssh import open_ssh
from edgenet.errors import EdgenetError


def parse_target(text: str) -> Target:
    """Parse the target that the user typed: one device, by its address or by its name in a fleet file.

    Raises:
        EdgenetError: the text has none of the forms of a target, or a fleet file has not exactly one such device.
    """
    if not is_fleet(text):
        return read_target(text)
    devices = fleet_devices(text)
    if len(devices) > 1:
        raise EdgenetError(
            f"{text} has {len(devices)} devices, and this command is for one",
            f"name one of them, such as {devices[0].on}",
        )
    return devices[0].target


@contextmanager
def open_device(text: str) -> Iterator[Device]:
    """Yield the device of a target for the duration of the block, over one shared connection.

    Raises:
        EdgenetError: the target is invalid, a browser, or cannot be reached.
    """
    target = parse_target(text)
    if isinstance(target, Local):
        yield LocalDevice()
    elif isinstance(target, Ssh):
        with open_ssh(target, text) as device:
            yield device
    elif isinstance(target, Adb):
        with open_phone(target, text) as phone:
            yield phone
    else:
        raise EdgenetError(
            "files cannot be copied to a browser", "use edgenet bench or edgenet camera --on browser"
        )


@contextmanager
def open_camera_device(text: str) -> Iterator[Device]:
    """Like `open_device`, for commands that use the device's own camera.

    Raises:
        EdgenetError: the target is a phone (only its browser can use its camera), or see `open_device`.
    """
    if isinstance(parse_target(text), Adb):
        raise EdgenetError(
            "only the phone's browser can use its camera",
            "edgenet camera BUNDLE --on adb shows it live; take photos for training with the phone's camera app",
        )
    with open_device(text) as device:
        yield device
