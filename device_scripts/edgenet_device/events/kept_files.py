"""Files that edgenet keeps in a folder of the user's within a disk budget, and whose oldest it removes again.

Only files with a name that it gave are counted and removed. Whoever wants to keep one renames it or moves it away.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import Event
from edgenet_device.output_files import write_atomically

_LONGEST_LABEL = 40
_NOT_IN_A_NAME = re.compile(r"[^\w]+")


class KeptFiles:
    """The files of one kind in a folder.

    Args:
        option: the option that named the folder, for messages.
        folder: the folder, which must exist.
        suffix: the end of their names, such as ".jpg".
        budget_bytes: the most bytes that they take together.

    Raises:
        EdgenetError: the folder is missing or cannot be written to.
    """

    def __init__(self, option: str, folder: Path, suffix: str, budget_bytes: int) -> None:
        if not folder.is_dir():
            raise EdgenetError(f"{option}: there is no folder {folder}", "make it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EdgenetError(
                f"{option}: {folder} is read-only for you", "choose a folder that you may write to"
            )
        self._folder, self._suffix, self._most = folder, suffix, budget_bytes
        # A number in the name gives the order: the clock may be that of 1970, and be set later.
        self._name = re.compile(rf"edgenet-(\d{{6,12}})-.*{re.escape(suffix)}")
        self._number = max([0, *(number for number, _, _ in self._own())])

    def write(self, event: Event, data: bytes) -> None:
        """Write a file for an event; remove the oldest ones first if the budget would be spent.

        Raises:
            EdgenetError: the data is larger than the whole budget, or cannot be written.
        """
        if len(data) > self._most:
            raise EdgenetError(
                f"{len(data) / 1e6:.1f} MB are more than the budget", "give a larger --pictures-size"
            )
        own = sorted(self._own())
        total = sum(size for _, size, _ in own)
        for _, size, path in own:
            if total + len(data) <= self._most:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
        self._number += 1
        try:
            write_atomically(self._folder / self._name_of(event), data)
        except EdgenetError as error:
            # Without the file's name, so that a full disk is one trouble and not one for each file.
            reason = getattr(error.__cause__, "strerror", None) or error.found
            raise EdgenetError(f"{self._folder} cannot be written: {reason}", error.remedy) from None

    def _own(self) -> list[tuple[int, int, Path]]:
        """Return the number, the size and the path of each file that is edgenet's own."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                name = self._name.fullmatch(entry.name)
                if name and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(OSError):
                        found.append((int(name[1]), entry.stat().st_size, Path(entry.path)))
        return found

    def _name_of(self, event: Event) -> str:
        moment = re.sub(r"[-:]|\..*", "", str(event.entries["time"]))
        label = _NOT_IN_A_NAME.sub("_", str(event.entries["label"] or event.entries["kind"]))[:_LONGEST_LABEL]
        return f"edgenet-{self._number:06d}-{moment}-{label}{self._suffix}"
