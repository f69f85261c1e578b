"""A bundle that is ready to run on a device, and the command that starts our scripts there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgenet.devices.device import Device


@dataclass(frozen=True)
class Installed:
    """A release on a device: a folder with one bundle and the device scripts that go with it.

    Attributes:
        device: the device.
        release: absolute path of the folder on the device.
        bundle: absolute path of the bundle (or .tflite) on the device; "" if there is none.
        python: the command that starts Python there, able to import the runtime and `device_scripts`.
    """

    device: Device
    release: str
    bundle: str
    python: tuple[str, ...]

    def script(self, name: str, arguments: Sequence[str]) -> tuple[str, ...]:
        """Return the command that runs `device_scripts/NAME.py` on the device."""
        return (*self.python, "-m", f"device_scripts.{name}", *arguments)
