r"""What edgenet must never delete on a device: folders in which somebody changed or added files.

A folder that edgenet brought to a device lists its files in SHA256SUMS. The shell functions of
`edgenet_device.release_scripts` find what is no longer as it was brought, and move such a folder away for good:

    HOME/set-aside/NAME-N/    it is never removed
"""

from __future__ import annotations

from dataclasses import dataclass

from edgenet.devices.device import ProgramResult

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class SetAside:
    """A folder with somebody's own files, which was moved out of the way.

    Attributes:
        folder: where it is now, on the device.
        files: the files that were changed or added, by their path in the folder.
    """

    folder: str
    files: tuple[str, ...]


def folders_set_aside(done: ProgramResult) -> tuple[SetAside, ...]:
    """Return what a script that calls `set_aside` has moved, from its output."""
    found: list[SetAside] = []
    for line in done.out.decode(errors="replace").splitlines():
        if line.startswith(" ") and found:
            found[-1] = SetAside(found[-1].folder, (*found[-1].files, line[1:]))
        else:
            found.append(SetAside(line, ()))
    return tuple(found)
