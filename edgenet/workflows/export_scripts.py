"""The verb `export_scripts`: write the folder of scripts that people copy to a device themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgenet.assets import device_files
from edgenet.errors import EdgenetError
from edgenet.files import make_folder, sha256, write_atomically
from edgenet.workflows.arguments import checked

SUMS = "SHA256SUMS"
"""The list of the exported files, as `sha256sum -c` reads it; it also shows that a folder holds an export."""


@dataclass(frozen=True)
class ExportedScripts:
    """The result of `export_scripts`. The files' paths are relative to the folder.

    Attributes:
        folder: the folder.
        files: every file of the export.
        written: the files among them that are new or were updated.
        removed: the files of an earlier export that edgenet no longer has and that were removed.
    """

    folder: str
    files: tuple[str, ...]
    written: tuple[str, ...]
    removed: tuple[str, ...]


@checked
def export_scripts(folder: str | Path) -> ExportedScripts:
    """Write the device scripts and the package `edgenet_device` into a folder, which then runs by itself.

    >>> edgenet.export_scripts("scripts").folder
    'scripts'

    A folder with an earlier export is brought up to date. Files that are not part of the export stay as they are.

    Args:
        folder: a folder that does not exist yet, an empty one, or one that holds an earlier export.

    Raises:
        EdgenetError: the folder holds other files and no export; an exported file was changed there; or the
            folder cannot be written.
        TypeError: `folder` is not a path.
    """
    folder = Path(folder)
    sources = {name: path.read_bytes() for name, path in device_files().items()}
    new = {name: sha256(data) for name, data in sources.items()}
    old = _earlier_export(folder)
    _check_unchanged(folder, old or {}, new)
    make_folder(folder)
    if old is None:
        # The list comes first, so that an export that was interrupted can be repeated.
        _write_sums(folder, new)
    written = tuple(name for name in sources if _sum_of(folder / name) != new[name])
    for name in written:
        make_folder((folder / name).parent)
        write_atomically(folder / name, sources[name])
    removed = tuple(name for name in sorted((old or {}).keys() - new.keys()) if _remove(folder / name))
    _write_sums(folder, new)
    return ExportedScripts(str(folder), tuple(sources), written, removed)


def _earlier_export(folder: Path) -> dict[str, str] | None:
    """Return the checksums of the export that the folder holds, by path; None for a new or empty folder."""
    try:
        if not os.path.lexists(folder) or not any(folder.iterdir()):
            return None
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except NotADirectoryError:
        raise EdgenetError(f"{folder} is a file", "give a folder") from None
    except FileNotFoundError:
        raise EdgenetError(
            f"the folder {folder} holds other files and no export of edgenet", "give a new or an empty folder"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise EdgenetError(
            f"cannot read {folder / SUMS}: {reason}", "give a new or an empty folder"
        ) from None
    sums = {name: checksum for checksum, _, name in (line.partition("  ") for line in lines)}
    # A list that someone else wrote must not make this remove a file elsewhere.
    return {
        name: sums[name]
        for name in sums
        if name and not Path(name).is_absolute() and ".." not in Path(name).parts
    }


def _check_unchanged(folder: Path, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Refuse to overwrite or remove a file that is neither as it was exported nor as it will be."""
    for name in sorted(old.keys() | new.keys()):
        found = _sum_of(folder / name)
        if found is not None and found not in (old.get(name), new.get(name)):
            raise EdgenetError(
                f"{folder / name} was changed since it was exported",
                "move it away, or export into a new folder",
            )


def _sum_of(path: Path) -> str | None:
    return sha256(path) if os.path.lexists(path) else None


def _remove(path: Path) -> bool:
    """Remove a file, and its folder if that is then empty; return whether there was such a file."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise EdgenetError(f"cannot remove {path}: {error.strerror}", "remove it yourself") from None
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    return True


def _write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    text = "".join(f"{checksum}  {name}\n" for name, checksum in sorted(sums.items()))
    write_atomically(folder / SUMS, text.encode())
