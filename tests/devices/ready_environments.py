"""Python environments under the name that edgenet looks for on a device, which start this Python: pip takes long."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from edgenet.devices import environment
from edgenet.devices.device import Device
from edgenet.devices.wheels import requirements


def environment_key(device: Device) -> str:
    """The name of the environment that a deploy to this device would make."""
    facts = device.facts()
    return environment._key(requirements(facts, environment.python_of(device, facts)), facts)


def write_environment(home: Path, key: str, first: str = "", path: str | None = None) -> None:
    """Write an environment that starts this Python.

    Args:
        home: edgenet's folder on the device, as this process sees it.
        key: see `environment_key`.
        first: lines of shell that its Python runs first.
        path: the PATH on the device; None for that of this process.
    """
    made = home / "environments" / key
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "python").write_text(f'#!/bin/sh\n{first}exec {sys.executable} "$@"\n')
    (made / "bin" / "python").chmod(0o755)
    system = shutil.which("python3", path=path)
    assert system is not None
    (made / "complete").write_text(str(Path(system).resolve()))
