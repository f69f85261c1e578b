"""Accounts for every file of a data set: read as a photo, unreadable, not used, not a photo, or ignored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from edgenet_device.frames.photos import HEIC_SUFFIXES, PHOTO_SUFFIXES, heic_is_readable

from edgenet.errors import one_line

HEIC_WAY_OUT = "pip install 'edgenet[heic]', or export the photos as JPEG"
RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"})
PHOTO_LIKE = PHOTO_SUFFIXES | HEIC_SUFFIXES | RAW_SUFFIXES | {".jxl"}
"""The endings of all photo files, of which some cannot be read."""
_DOCUMENTS = frozenset([
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml",
    ".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".odt", ".ods", ".log", ".ini",
    ".cfg", ".db", ".py", ".ipynb", ".m", ".mat", ".npy", ".npz", ".pkl", ".pbtxt", ".names",
    ".url", ".lnk", ".sha256", ".md5",
])  # fmt: skip
_DOCUMENT_NAMES = frozenset({"readme", "license", "licence", "copying", "notice", "changelog", "icon\r"})
SHOWN = 4
"""At most so many kinds of files are listed in a line."""


@dataclass(frozen=True)
class FileAccount:
    """What became of every file of a data set; the numbers of all kinds add up to `files`.

    Attributes:
        files: number of files in the folder or zip, including its subfolders and hidden files.
        read: number of photos that were read.
        unreadable: (name, reason) of the photos that could not be read.
        unused: number of photos that were left unread, by reason, such as {"in test": 200}.
        not_photos: number of files that are no photos, by ending, such as {".mov": 3}.
        ignored: number of files that often lie beside photos, by ending or "hidden", such as {".txt": 1}.
        warnings: what may be wrong with the set, one sentence each without a full stop.
    """

    files: int
    read: int
    unreadable: tuple[tuple[str, str], ...] = ()
    unused: dict[str, int] = field(default_factory=dict)
    not_photos: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def after_reading(self, read: int, skipped: Sequence[tuple[str, str]]) -> FileAccount:
        """Return the account after photos were read: before, all that seem readable count as read.

        Args:
            read: number of photos that were read.
            skipped: (name, reason) of the photos that could not be read.
        """
        left = self.read - read - len(skipped)
        unused = (
            {**self.unused, NOT_NEEDED: self.unused.get(NOT_NEEDED, 0) + left} if left > 0 else self.unused
        )
        return replace(self, read=read, unreadable=(*self.unreadable, *skipped), unused=unused)

    def with_split(self, other: FileAccount, split: str) -> FileAccount:
        """Return the account of this split's photos together with those of another split of the same data."""
        unused = Counter(
            {reason: count for reason, count in self.unused.items() if reason != in_split(split)}
        )
        unused.update({reason: count for reason, count in other.unused.items() if not _is_split(reason)})
        return replace(
            self,
            read=self.read + other.read,
            unreadable=self.unreadable + other.unreadable,
            unused=dict(unused),
            warnings=tuple(dict.fromkeys(self.warnings + other.warnings)),
        )

    def lines(self) -> list[str]:
        """Return one or two lines that account for the files; none if all were photos that could be read."""
        if not (self.unreadable or self.not_photos or self.ignored or set(self.unused) - {NOT_NEEDED}):
            return []
        endings = Counter(_ending(name) for name, _ in self.unreadable)
        groups = [
            ("could not be read", endings),
            ("not used", self.unused),
            ("not photos", self.not_photos),
            ("ignored", self.ignored),
        ]
        parts = [f"{sum(kinds.values())} {what} ({_listed(kinds)})" for what, kinds in groups if kinds]
        first = f"{self.files} files: {', '.join([f'{self.read} read as photos', *parts])}"
        return [first, *self._ways_out()]

    def _ways_out(self) -> list[str]:
        endings = {suffix_of(name) for name, reason in self.unreadable if reason.endswith(_EXPORT)}
        ways = []
        if endings & HEIC_SUFFIXES:
            ways.append(f"to read HEIC: {HEIC_WAY_OUT}")
        if others := sorted(endings - HEIC_SUFFIXES):
            ways.append(f"export the {', '.join(others)} files as JPEG")
        return ["; ".join(ways)] if ways else []


NO_FILES = FileAccount(0, 0)
"""The account of photos that are no files of the user's."""
NOT_NEEDED = "not needed"
_EXPORT = "as JPEG"


def in_split(split: str) -> str:
    """Return the reason for which photos in another split folder are left unread."""
    return f"in {split}"


def _is_split(reason: str) -> bool:
    return reason.startswith("in ")


def suffix_of(name: str) -> str:
    """Return the ending of a file's name in lower case, such as ".jpg"; pathlib would take ten times as long."""
    base = name[name.rfind("/") + 1 :]
    dot = base.rfind(".")
    return base[dot:].lower() if 0 < dot < len(base) - 1 else ""


def is_photo_like(name: str) -> bool:
    """Return whether a file is a photo by its ending, readable or not."""
    return suffix_of(name) in PHOTO_LIKE


def why_unreadable(name: str) -> str | None:
    """Return why a photo of this ending cannot be read here, or None if it can."""
    suffix = suffix_of(name)
    if suffix in PHOTO_SUFFIXES or (suffix in HEIC_SUFFIXES and heic_is_readable()):
        return None
    if suffix in HEIC_SUFFIXES:
        return f"{name} is HEIC, the format of iPhones; {HEIC_WAY_OUT}"
    kind = "JPEG XL" if suffix == ".jxl" else "camera raw"
    return f"{name} is {kind}, which cannot be read; export it {_EXPORT}"


def other_files(names: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Count the files that are no photos: (those that nobody expects here, those that often lie beside photos).

    Args:
        names: names of files; names of folders, with a final slash, are not counted.
    """
    strange: Counter[str] = Counter()
    usual: Counter[str] = Counter()
    for name in names:
        if name.endswith("/") or is_photo_like(name):
            continue
        document = suffix_of(name) in _DOCUMENTS or PurePosixPath(name).stem.lower() in _DOCUMENT_NAMES
        (usual if document else strange)[_ending(name)] += 1
    return dict(strange), dict(usual)


def _ending(name: str) -> str:
    return suffix_of(name) or "no ending"


def _listed(kinds: dict[str, int]) -> str:
    """Return the most frequent kinds of files, each with its number."""
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} {one_line(kind, 60)}" for kind, count in ordered[:SHOWN]]
    rest = sum(count for _, count in ordered[SHOWN:])
    return ", ".join(shown + [f"{rest} others"] * bool(rest))
