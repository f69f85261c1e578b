"""The folder of kept photos: within a disk budget, spread in time and by looks, and nothing twice.

Several programs may share one folder. Only files with a name that edgenet gave are counted and removed.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.errors import EdgenetError
from edgenet_device.field.photo_facts import (
    HEAD_BYTES,
    MARKED,
    PhotoFacts,
    photo_number,
    read_facts,
    with_facts,
)
from edgenet_device.output_files import write_atomically

OPTION = "--keep-uncertain"
PAUSE_S = 10.0
"""Least seconds between two photos that nobody marked."""
MOST_AN_HOUR = 60
"""The most photos in an hour that nobody marked."""
ALIKE_BITS = 6
"""Photos whose difference hashes differ in at most so many of 64 bits show the same scene. Noise alone changes 3."""
REMEMBERED = 2000
"""How many photos' looks are remembered, also of photos that were collected and removed since."""
FRESHNESS = 0.3
"""What the newest photo is worth more than the oldest: the doubt about most photos is between 0.7 and 1."""
FACTS_BYTES = 4096
"""The facts are nearly always within so many bytes from the beginning of a photo."""
RESERVE_BYTES = 64 * 2**20
"""Photos that nobody marked are left out when less disk space is left: the system needs some room, too."""
SESSION_PAUSE_S = 600.0
"""After so many seconds without a photo, the next one begins a session: another scene, for honest splits."""
LONGEST_SESSION_S = 3600.0


@dataclass(frozen=True)
class KeptPhoto:
    """A photo in the folder.

    Attributes:
        number: its number, which gives the order: a clock may be that of 1970, and be set later.
        size: its size in bytes.
        marked: whether a person said what it shows.
        doubt: how unsure the network was, 0 to 1.
        looks: its difference hash, 64 bits.
    """

    path: Path
    number: int
    size: int
    marked: bool
    doubt: float
    looks: int


class KeptPhotos:
    """The photos in one folder. Any thread may call the methods.

    Args:
        folder: the folder, which is made if it is missing.
        budget_bytes: the most bytes that the photos take.

    Raises:
        EdgenetError: the folder cannot be made, read or written.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder, self._most = folder, budget_bytes
        self._known: dict[str, KeptPhoto | None] = {}
        self._begun = False
        self._changing = threading.Lock()
        self._looks: deque[int] = deque(maxlen=REMEMBERED)
        self._hour: deque[float] = deque(maxlen=MOST_AN_HOUR)
        self._session, self._session_began, self._last = "", -math.inf, -math.inf
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EdgenetError(
                f"{OPTION}: cannot keep photos in {folder}: {error.strerror}", "give another --keep-in FOLDER"
            ) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EdgenetError(
                f"{OPTION}: {folder} is read-only for you", "choose a folder that you may write to"
            )

    def is_new(self, looks: int, now_s: float) -> bool:
        """Return whether a photo that nobody marked is wanted: others are not too recent, too many, or alike.

        Args:
            looks: its difference hash.
            now_s: the time on a clock that nobody sets.
        """
        with self._changing:
            self._begin()
            last = self._hour[-1] if self._hour else -math.inf
            full = len(self._hour) == MOST_AN_HOUR and now_s - self._hour[0] < 3600
            alike = any(bin(looks ^ other).count("1") <= ALIKE_BITS for other in self._looks)
            return now_s - last >= PAUSE_S and not full and not alike

    def keep(self, jpeg: bytes, facts: PhotoFacts, now_s: float) -> Path:
        """Write a photo with its facts; first remove those of the least worth if the budget would be spent.

        Raises:
            EdgenetError: the budget is spent on photos that people marked, or the photo cannot be written.
        """
        data = with_facts(jpeg, facts)
        marked = facts.reason == MARKED
        with self._changing:
            if not marked:
                self._hour.append(now_s)  # also if it fails: a full disk is not tried at every frame
            try:
                self._begin()
                self._require_room(marked, len(data))
                photos = self._photos()
                self._make_room(photos, len(data))
                path = self._folder / self._name(photos, now_s)
                write_atomically(path, data, private=True)
            except OSError as error:
                raise EdgenetError(f"{self._folder} cannot be written: {error.strerror}") from None
            except EdgenetError as error:
                if error.__cause__ is None:
                    raise
                # Without the file's name, so that a full disk is one trouble and not one for each photo.
                reason = getattr(error.__cause__, "strerror", None) or error.found
                raise EdgenetError(f"{self._folder} cannot be written: {reason}", error.remedy) from None
            self._looks.append(int(facts.looks, 16))
            return path

    def _begin(self) -> None:
        """Read the photos that are there, once. The camera's start does not wait for that."""
        if not self._begun:
            self._looks.extend(photo.looks for photo in self._photos())
            self._begun = True

    def _require_room(self, marked: bool, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if not marked and free - size < RESERVE_BYTES:
            raise EdgenetError(
                f"less than {RESERVE_BYTES >> 20} MB are free in {self._folder}", "free some space there"
            )

    def _make_room(self, photos: list[KeptPhoto], size: int) -> None:
        if size > self._most:
            raise EdgenetError(
                f"a photo of {size / 1e6:.1f} MB is more than the budget", f"give a larger {OPTION}"
            )
        total = sum(photo.size for photo in photos) + size
        for photo in least_worth_first(photos, total - self._most):
            with contextlib.suppress(OSError):
                photo.path.unlink()
            total -= photo.size
        if total > self._most:
            raise EdgenetError(
                f"photos that people marked fill the {self._most / 1e6:.0f} MB in {self._folder}",
                f"edgenet collect --remove brings them over, or give a larger {OPTION}",
            )

    def _photos(self) -> list[KeptPhoto]:
        """Return the photos in the folder, oldest first; those of other programs, too."""
        found: dict[str, KeptPhoto | None] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                number = photo_number(entry.name)
                if number is not None and entry.is_file(follow_symlinks=False):
                    known = entry.name in self._known
                    found[entry.name] = self._known[entry.name] if known else _read(Path(entry.path), number)
        self._known = found
        return sorted((photo for photo in found.values() if photo is not None), key=lambda one: one.number)

    def _name(self, photos: Iterable[KeptPhoto], now_s: float) -> str:
        new = now_s - self._last > SESSION_PAUSE_S or now_s - self._session_began > LONGEST_SESSION_S
        if new or now_s < self._last:
            self._session_began = now_s
            self._session = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(6)}"
        self._last = now_s
        number = max([0, *(photo.number for photo in photos)]) + 1
        return f"field-{self._session}-{number:06d}.jpg"


def _read(path: Path, number: int) -> KeptPhoto | None:
    """Return a photo of the folder; None for one that cannot be read, which is then neither counted nor removed."""
    try:
        with open(path, "rb") as file:
            head = file.read(FACTS_BYTES)
            try:
                facts = read_facts(head)
            except EdgenetError:  # they are longer than most
                facts = read_facts(head + file.read(HEAD_BYTES - FACTS_BYTES))
            size = os.fstat(file.fileno()).st_size
    except (OSError, EdgenetError):
        return None
    return KeptPhoto(path, number, size, facts.reason == MARKED, facts.doubt, int(facts.looks, 16))


def least_worth_first(photos: list[KeptPhoto], surplus: int) -> list[KeptPhoto]:
    """Return the photos to remove so that at least `surplus` bytes become free; none that a person marked.

    A photo's worth is how unsure the network was, 0 to 1, plus how new the photo is: 0 for the oldest that nobody
    marked, FRESHNESS for the newest. So an interesting photo stays for long, but not for ever.

    Args:
        photos: all photos, oldest first.
        surplus: the bytes to free; fewer are freed if the photos that nobody marked do not have so many.
    """
    left = [photo for photo in photos if not photo.marked]
    removed = []
    while left and surplus > 0:
        last = max(len(left) - 1, 1)
        worst = min(range(len(left)), key=lambda index: left[index].doubt + FRESHNESS * index / last)
        removed.append(left.pop(worst))
        surplus -= removed[-1].size
    return removed
