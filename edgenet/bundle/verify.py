"""Open a bundle's zip archive, and check each part of it before it is used."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

from edgenet.bundle.manifest import MANIFEST_FILE, Manifest, from_json
from edgenet.errors import EdgenetError
from edgenet.files import UNREADABLE_ZIP, sha256

MODEL = "model.tflite"
LABELS = "labels.txt"
CARD = "CARD.md"
MEMBERS = (MODEL, LABELS, CARD)

# Far larger than any network for a phone; the limit keeps a wrong file from filling the memory.
_MAX_BYTES = 1 << 30
_ENCRYPTED = 0x1
_AGAIN = "fetch it again or make it again with `edgenet package`"


def verified_members(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest, and the contents of every other member with its size and checksum verified.

    Raises:
        EdgenetError: as for `open_bundle`, but the message does not contain the path.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(_read(path))) as archive:
            entries = _checked_entries(archive)
            manifest = from_json(archive.read(entries.pop(MANIFEST_FILE)))
            _check_names(entries, manifest)
            return manifest, {name: _checked(archive, entries[name], manifest) for name in MEMBERS}
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"the bundle is damaged or cut off ({error})", _AGAIN) from error


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise EdgenetError("this is a folder, not a bundle", "give a file made with `edgenet package`")
        if path.stat().st_size > _MAX_BYTES:
            raise EdgenetError("this is not a bundle: it is larger than 1 GiB", "give a .edgenet file")
        data = path.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot be read ({error.strerror})", "check the path") from error
    if data[:4] != b"PK\x03\x04":
        raise EdgenetError(
            "this is not a bundle (not a zip archive)", "give a file made with `edgenet package`"
        )
    return data


def _checked_entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's entries by name, after checking each entry by itself."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        # `orig_filename` is the name in the file; zipfile has already cleaned `filename`.
        name = entry.orig_filename
        _check_entry(entry, name)
        if name in entries:
            raise EdgenetError(f"the bundle holds {name!r} twice", _AGAIN)
        entries[name] = entry
    if MANIFEST_FILE not in entries:
        raise EdgenetError(f"the bundle has no {MANIFEST_FILE}", _AGAIN)
    return entries


def _check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise EdgenetError(f"the bundle's member {name!r} leads out of its folder", "do not use this file")
    if "/" in name or "\\" in name:
        raise EdgenetError(f"the bundle's member {name!r} lies in a folder; a bundle has none", _AGAIN)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise EdgenetError(f"the bundle's member {name!r} is a link or device", "do not use this file")
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
        raise EdgenetError(f"the bundle's member {name!r} is compressed or encrypted", _AGAIN)
    if entry.file_size != entry.compress_size:
        raise EdgenetError(f"the bundle's member {name!r} gives two different sizes", _AGAIN)


def _check_names(entries: dict[str, zipfile.ZipInfo], manifest: Manifest) -> None:
    """Raise unless the archive and the manifest both have exactly the members of this schema."""
    for name in MEMBERS:
        if name not in entries:
            raise EdgenetError(f"the bundle has no {name}", _AGAIN)
        if name not in manifest.members:
            raise EdgenetError(f"{MANIFEST_FILE} does not list {name}", _AGAIN)
    for name in [*entries, *manifest.members]:
        if name not in MEMBERS:
            raise EdgenetError(f"the bundle has a member {name!r} that does not belong there", _AGAIN)


def _checked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, manifest: Manifest) -> bytes:
    name = entry.orig_filename
    expected = manifest.members[name]
    if entry.file_size != expected.size:
        raise EdgenetError(f"{name} has {entry.file_size} bytes, the manifest says {expected.size}", _AGAIN)
    data = archive.read(entry)
    if len(data) != expected.size or sha256(data) != expected.sha256:
        raise EdgenetError(f"{name} was changed: its checksum differs from the manifest's", _AGAIN)
    return data
