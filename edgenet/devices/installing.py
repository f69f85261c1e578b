"""Putting a bundle on a device: nothing moves that is there already, and a stop at any moment leaves the old one."""

from __future__ import annotations

import sys
from pathlib import Path

from edgenet.devices.device import Device
from edgenet.devices.installed import Installed
from edgenet.devices.local import LocalDevice
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent


def install(bundle: Path, device: Device, progress: Progress = silent) -> Installed:
    """Makes a bundle (or .tflite) ready to run there, beside what runs there now, which goes on.

    On this machine it runs from where it is.

    Raises:
        EdgenetError: the device cannot take it; says why.
    """
    if isinstance(device, LocalDevice):
        return Installed(device, str(Path.cwd()), str(bundle.resolve()), (sys.executable,))
    raise EdgenetError(f"{device.name} cannot be installed to yet", "use local")
