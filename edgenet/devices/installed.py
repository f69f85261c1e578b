"""A bundle that is ready to run on a device, and how our scripts are started there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgenet.devices.device import Device


@dataclass(frozen=True)
class Installed:
    """A release on a device: a folder with one bundle and the device scripts that go with it.

    Attributes:
        device: where.
        release: absolute path of the folder there.
        bundle: absolute path of the bundle (or .tflite) there.
        python: what starts Python there, with the runtime and `device_scripts` to be imported.
    """

    device: Device
    release: str
    bundle: str
    python: tuple[str, ...]

    def script(self, name: str, arguments: Sequence[str]) -> tuple[str, ...]:
        """The command that runs `device_scripts/NAME.py` there."""
        return (*self.python, "-m", f"device_scripts.{name}", *arguments)
