"""The verb `collect`: photos that a device kept in the field come over, ready to be labelled and trained with."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgenet_device.collecting.collector import usable_label
from edgenet_device.field.photo_facts import PHOTO_NAME, PhotoFacts, read_facts
from edgenet_device.foreign_text import LONGEST_LABEL, read_json
from edgenet_device.frames.photos import read_photo
from edgenet_device.live.field_output import FOLDER

from edgenet.data.folders import SPLITS, UNLABELLED
from edgenet.devices.device import Device
from edgenet.devices.field_photos import BroughtPhoto, PhotoFolder, bring_photos, find_photos, remove_photos
from edgenet.devices.service_settings import read_settings
from edgenet.devices.targets import open_camera_device
from edgenet.errors import EdgenetError, one_line
from edgenet.files import write_atomically
from edgenet.progress import Progress, silent
from edgenet.workflows.arguments import checked

RECORD = "collected.jsonl"
"""The file beside the photos that has a line for each: its name, checksum, folder, and all that is known about it."""
NOTHING = "none"
"""The class of pictures that show nothing which the network is to know; see `edgenet train`."""
_NOTHING_SAID = ("nothing i know", "nothing", "none")
_NOT_IN_A_NAME = re.compile(r"[^\w ,.()+-]+")
_LONGEST_LINE = 1 << 15


@dataclass(frozen=True)
class Collected:
    """The result of `collect`.

    Attributes:
        target: the target as the user gave it.
        folder: the folder that the photos are in.
        new: number of photos that came over now.
        labelled: how many of them a person has said the class of, by class.
        unlabelled: how many of them nobody has labelled, by what the network thought.
        known: number of photos on the device that had come over before.
        removed: number of photos that were removed on the device.
        notes: what the user should know.
    """

    target: str
    folder: str
    new: int
    labelled: dict[str, int]
    unlabelled: dict[str, int]
    known: int
    removed: int
    notes: tuple[str, ...] = ()


@checked
def collect(
    data: str | Path,
    on: str,
    *,
    kept_in: str | None = None,
    remove: bool = False,
    progress: Progress = silent,
) -> Collected:
    """Bring the photos over that a device has kept in the field (`camera.py --keep-uncertain`).

    A photo that a person has corrected goes to `data`/CLASS. The others go to `data`/unlabelled/WHAT THE NETWORK
    THOUGHT, which `train` does not use; to label one, move it into the folder of its class. The photos' names say in
    which session they were taken, so that `train` never judges by a photo of a session that it learned from.

    No file is overwritten, and no photo comes twice, wherever in `data` it is by now. An interrupted run is continued
    by the next one.

    >>> edgenet.collect("photos", "ssh:pi@raspberrypi.local").new  # doctest: +SKIP
    12

    Args:
        data: the folder of the class folders, on this machine; it is made if it is missing.
        on: the device: "local" or "ssh:USER@HOST[:PORT]".
        kept_in: the folder on the device, absolute or from its user's home (on this machine, from the present folder);
            None for where its service keeps them, or camera.py without `--keep-in`.
        remove: remove the photos on the device after this machine's copies were compared with them by checksum.
        progress: called with the number of photos that have come.

    Raises:
        EdgenetError: the device cannot be reached, has no folder of kept photos, or `data` cannot be written.
        TypeError: an argument has the wrong type.
    """
    here = _Here(Path(data))
    with open_camera_device(on) as device:
        folders, notes = _folders(device, kept_in)
        for folder in folders:
            _bring(device, folder, here, progress)
        removed = sum(_remove(device, folder, here) for folder in folders) if remove else 0
    left = sum(len(folder.names) for folder in folders) - removed
    if remove and left:
        notes.append(f"{left} photos stay on {on}: there is no equal copy of them in {data}")
    return Collected(
        target=on,
        folder=str(data),
        new=here.new,
        labelled=dict(sorted(here.labelled.items())),
        unlabelled=dict(sorted(here.unlabelled.items())),
        known=here.known,
        removed=removed,
        notes=(*notes, *here.notes),
    )


def _folders(device: Device, kept_in: str | None) -> tuple[list[PhotoFolder], list[str]]:
    """Return the folders of kept photos on a device, and notes about those that cannot be read.

    Raises:
        EdgenetError: there is none that can be read.
    """
    given, in_state = kept_in, FOLDER
    if kept_in is None and (named := _named_by_service(device)) is not None:
        # The service means a folder within its state folder by a name without a leading /.
        given, in_state = (named, FOLDER) if named.startswith("/") else (None, named)
    folders, locked = find_photos(device, given, in_state)
    notes = [f"{one_line(folder)} cannot be read on {device.name}" for folder in locked]
    if not folders:
        raise EdgenetError(
            notes[0] if notes else f"{device.name} has kept no photos",
            "start its camera with --keep-uncertain MB, or say with --kept-in where they are",
        )
    return folders, notes


def _named_by_service(device: Device) -> str | None:
    """Return the folder that --keep-in names among the options of a device's service."""
    with suppress(EdgenetError):  # with damaged settings, the usual folders are left
        service = read_settings(device)
        options = () if service is None else service.options.options
        return next((option.value for option in options if option.name == "keep-in"), None)
    return None


@dataclass
class _Here:
    """The folder on this machine: what it has, and what has come in this run."""

    data: Path
    new: int = 0
    known: int = 0
    labelled: Counter[str] = field(default_factory=Counter)
    unlabelled: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    places: dict[str, Path] = field(init=False)
    recorded: set[str] = field(init=False)

    def __post_init__(self) -> None:
        _refuse_splits(self.data)
        self.places = {name: Path(place) / name for place, name in _kept_names(self.data)}
        self.recorded = read_record(self.data / RECORD)

    def has(self, name: str) -> bool:
        """Return whether a photo has come before, also if it was moved or deleted here since."""
        return name in self.places or name in self.recorded

    def take(self, photo: BroughtPhoto, facts: PhotoFacts) -> None:
        """Write a photo into the folder that it belongs to.

        Raises:
            EdgenetError: it cannot be written.
        """
        label, folder = _folder_of(facts)
        path = self.data / folder / photo.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgenetError(
                f"cannot make {path.parent}: {error.strerror}", "give another --data"
            ) from None
        write_atomically(path, photo.data)
        self.places[photo.name] = path
        self._record({"name": photo.name, "sha256": photo.sha256, "folder": folder, **facts.as_dict()})
        self.new += 1
        (self.unlabelled if label is None else self.labelled)[label or Path(folder).name] += 1

    def _record(self, entry: dict[str, Any]) -> None:
        path = self.data / RECORD
        line = json.dumps(entry).encode() + b"\n"
        try:
            with open(path, "ab+") as file:
                file.seek(max(file.tell() - 1, 0))
                torn = file.read(1) not in (b"", b"\n")  # the last run was interrupted within a line
                file.write(b"\n" * torn + line)
        except OSError as error:
            raise EdgenetError(f"cannot write {path}: {error.strerror}", "free some space there") from None


def _refuse_splits(data: Path) -> None:
    """Refuse a folder of train, val or test folders: a class beside them would make the splits classes."""
    try:
        folders = sorted(entry.name for entry in os.scandir(data) if entry.is_dir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise EdgenetError(f"cannot read {data}: {error.strerror}", "give a folder as --data") from None
    if folders and all(name.lower() in SPLITS for name in folders):
        raise EdgenetError(
            f"{data} has the splits {', '.join(folders)}", f"give one of them: --data {data / folders[0]}"
        )


def _kept_names(data: Path) -> Iterator[tuple[str, str]]:
    """Yield the folder and the name of every kept photo in a folder and all folders below it."""
    for place, _, names in os.walk(data):
        for name in names:
            if PHOTO_NAME.fullmatch(name):
                yield place, name


def read_record(path: Path) -> set[str]:
    """Return the names of the photos that a record lists; lines that are none are passed over.

    Raises:
        EdgenetError: the file cannot be read.
    """
    names = set()
    try:
        with open(path, "rb") as file:
            for line in file:
                with suppress(ValueError, TypeError, KeyError):
                    name = read_json(line, _LONGEST_LINE)["name"]
                    if isinstance(name, str) and PHOTO_NAME.fullmatch(name):
                        names.add(name)
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "move it away") from None
    return names


def _folder_of(facts: PhotoFacts) -> tuple[str | None, str]:
    """Return the class that a person has said, if any, and the folder that a photo belongs to.

    What a device sends as a label is never taken for a path.
    """
    if facts.said is not None:
        said = facts.said.casefold()
        if said in _NOTHING_SAID:
            return NOTHING, NOTHING
        with suppress(EdgenetError):
            if said not in UNLABELLED:
                return usable_label(facts.said), facts.said
    thought = _NOT_IN_A_NAME.sub("_", facts.label or "nothing I know")[:LONGEST_LABEL].strip()
    try:
        return None, f"{UNLABELLED[0]}/{usable_label(thought)}"
    except EdgenetError:
        return None, f"{UNLABELLED[0]}/another class"


def _bring(device: Device, folder: PhotoFolder, here: _Here, progress: Progress) -> None:
    """Bring the photos of one folder over that have not come before."""
    wanted = [name for name in folder.names if not here.has(name)]
    here.known += len(folder.names) - len(wanted)
    came = 0
    for photo in bring_photos(device, folder.path, wanted):
        came += 1
        progress("bring photos over", came, len(wanted))
        try:
            # What the device has sent is checked before anything is written; only this machine's disk ends the run.
            facts = read_facts(photo.data)
            read_photo(photo.data, photo.name)
        except EdgenetError as error:
            here.notes.append(f"{photo.name} stays on {device.name}: {error.found}")
            continue
        here.take(photo, facts)
    if came < len(wanted):
        here.notes.append(
            f"{len(wanted) - came} photos were gone from {device.name} or changed while they came over"
        )


def _remove(device: Device, folder: PhotoFolder, here: _Here) -> int:
    """Remove the photos of one folder that this machine has; the device compares them by checksum first."""
    sums = {}
    for name in folder.names:
        with suppress(OSError):
            if name in here.places:
                sums[name] = hashlib.sha256(here.places[name].read_bytes()).hexdigest()
    return remove_photos(device, folder.path, sums)
