"""Output files, CSV tables, the cache folder, locked folders, checksums, and reproducible zip archives.

`write_atomically` is defined in `edgenet_device.output_files`, which must run without edgenet.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import platform
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenet_device.foreign_text import read_json
from edgenet_device.output_files import check_output as _check_writable
from edgenet_device.output_files import write_atomically as write_atomically
from edgenet_device.trial import cache_folder as cache_folder

from edgenet.errors import EdgenetError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 1 << 20
_LOCK_NAME = ".edgenet-lock"
UNREADABLE_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    OverflowError,
    ValueError,
)
"""The exceptions that zipfile raises for a damaged archive, depending on which byte changed.

RuntimeError: an entry is marked as encrypted; NotImplementedError, a subclass of it: the compression is unknown.
"""

MOST_UNPACKED = 1 << 26
"""Bytes to which any archive may unpack, whatever its own size is."""
_MOST_RATIO = 100
MOST_TEXT_BYTES = 8 << 20


def check_unpacked_size(archive: zipfile.ZipFile, size: int, where: str) -> None:
    """Refuse an archive that unpacks to more than 64 MiB and to more than 100 times its own size.

    Photos and weights hardly shrink in a zip, but packed zeros do, to a thousandth.

    Args:
        archive: the archive, of which nothing has been unpacked yet.
        size: its size in bytes.
        where: how the error message calls it.

    Raises:
        EdgenetError: it unpacks to more than that.
    """
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(MOST_UNPACKED, _MOST_RATIO * size):
        raise EdgenetError(
            f"{where} has {size:,} bytes and would unpack to {unpacked:,}",
            "unpack it yourself if you trust it",
        )


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz that others may have made, by name; none of them holds Python objects.

    Raises:
        EdgenetError: it unpacks to far more than its size.
        FileNotFoundError: there is no such file.
        ValueError: it is no archive of arrays, or it is damaged; the message is one line.
    """
    import numpy as np  # takes 0.1 s, and most of edgenet's commands have no need for it here

    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start == b"\x93NUMPY":
            raise ValueError("it holds a single array without a name")
        if not start.startswith(b"PK"):  # numpy would take it for a pickle, and advise to load that unsafely
            raise ValueError("it is no archive of named arrays")
        loaded = np.load(path, allow_pickle=False)
        with loaded as arrays:
            if arrays.zip is not None:
                check_unpacked_size(arrays.zip, path.stat().st_size, str(path))
            found = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise
    # The head of an array is a Python literal, which is parsed as such.
    except (*UNREADABLE_ZIP, SyntaxError, tokenize.TokenError, TypeError, LookupError, MemoryError) as error:
        said = one_line(str(error)) or type(error).__name__
        raise ValueError("an array holds Python objects" if "allow_pickle" in said else said) from error
    # Of a member that is no array, numpy returns the bytes.
    wrong = next((name for name, array in found.items() if not isinstance(array, np.ndarray)), None)
    if wrong is not None:
        raise ValueError(f"its member {one_line(wrong, 40)} is no array")
    return found


def read_limited(path: Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """Return the bytes of a file that others may have made; it may have at most `most` bytes.

    Raises:
        EdgenetError: it is larger, or it is a device or a pipe.
        OSError: it cannot be read.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise EdgenetError(f"{path} is not a regular file", "give the path of a file")
    with path.open("rb") as file:
        # `read` reserves as much memory as it is asked for, so it is asked for the file's size.
        data = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
    if len(data) > most:
        raise EdgenetError(f"{path} is larger than {most >> 20} MiB", "check that it is the right file")
    return data


def json_beside(path: Path, name: str) -> Mapping[str, Any]:
    """Return the JSON object in the file of this name beside a file; empty if there is none or it is something else."""
    beside = path.with_name(name)
    if not beside.is_file():
        return {}
    try:
        found = read_json(read_limited(beside))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def check_output(out: Path, *sources: str | Path) -> None:
    """Check that a file can be written and that it would not overwrite a file that the work reads.

    Args:
        out: the file that will be written.
        sources: the files that are read; a text that is not a path, such as a variant's name, is ignored.

    Raises:
        EdgenetError: `out` is a folder or one of the sources, or its folder is missing or not writable.
    """
    _check_writable(out)
    if any(_same(out, source) for source in sources):
        raise EdgenetError(f"{out} is also the input", "give the result another name")


def _same(out: Path, source: str | Path) -> bool:
    try:
        return out.samefile(source)
    except (OSError, ValueError):  # one of them does not exist, or is not a path
        return False


def make_folder(out: Path) -> None:
    """Make a folder for results, with its parent folders, unless it exists already.

    Raises:
        EdgenetError: the folder cannot be made, or it is not writable.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(
            f"cannot make the folder {out}: {error.strerror}", "choose another folder"
        ) from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise EdgenetError(f"the folder {out} is read-only for you", "choose another folder")


@contextlib.contextmanager
def locked_folder(folder: Path, log: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Keep other processes from writing results into a folder for the duration of the block.

    The lock is an flock(2) on a file in the folder, so the system releases it when the process ends, also when it is
    killed. Where the file system has no locks, the block runs all the same.

    Args:
        folder: the folder, which must exist.
        log: called with a line that says so if the folder cannot be locked.

    Raises:
        EdgenetError: another process, or another call in this one, has locked the folder.
    """
    path = folder / _LOCK_NAME
    descriptor = _lock(path, log)
    try:
        yield
    finally:
        if descriptor is not None:
            # Remove the file before the lock is released: afterwards it could be the next process's lock.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)


def _lock(path: Path, log: Callable[[str], None]) -> int | None:
    """Return the descriptor of the locked file, or None where there are no locks."""
    try:
        import fcntl  # Windows has no such module
    except ImportError:
        log(_unlocked(path, "this system has no flock"))
        return None
    while True:
        descriptor = None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file_at(path, descriptor):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
                return descriptor
        except BlockingIOError:
            holder = _text_of(path)
            _close(descriptor)
            raise EdgenetError(
                f"{holder or 'another process'} is writing into {path.parent}",
                "wait until it ends, or give another --out",
            ) from None
        except OSError as error:
            _close(descriptor)
            log(_unlocked(path, error.strerror or str(error)))
            return None
        os.close(descriptor)  # the process that had the lock has just removed the file, so try again


def _is_file_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _text_of(path: Path) -> str:
    try:
        return one_line(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:  # the other process may remove it at any moment
        return ""


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _unlocked(path: Path, reason: str) -> str:
    return f"note: {path.parent} cannot be locked ({reason}), so take care that nothing else writes into it"


def sha256(data: bytes | Path) -> str:
    """Return the SHA-256 of bytes, or of the file at a path, as 64 lower-case hexadecimal digits.

    Raises:
        EdgenetError: the file is missing or cannot be read.
    """
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256()
    try:
        with data.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise EdgenetError(f"cannot read {data}: {error.strerror}", "check the path") from error
    return digest.hexdigest()


def stored_zip(members: Mapping[str, bytes], behind: bytes = b"") -> bytes:
    """Return an uncompressed zip of `members` in the order given; the same members give the same bytes.

    Args:
        members: the contents of each member, by name.
        behind: bytes that come before the archive. They are part of the result, and the archive's offsets
            count from their start.
    """
    stream = io.BytesIO()
    stream.write(behind)
    # Mode "w" starts at the stream's position; "a" would search the bytes before it for an older archive.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            # Use the format's earliest date, and Unix as the system, so that nothing depends on this machine.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)
    return stream.getvalue()


def csv_table(rows: Sequence[Any], names: Sequence[str]) -> bytes:
    """Return dataclass instances as CSV: a header with these fields, then a line per row; None is an empty cell."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue().encode()
