"""Writing files so that a failure loses nothing, checksums, and zip archives that are the same every time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from edgenet.errors import EdgenetError

_CHUNK = 1 << 20

# What zipfile raises for one changed byte or another (RuntimeError: an entry marked as encrypted,
# NotImplementedError, its subclass: an unknown compression).
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

_REMEDIES = {
    errno.ENOSPC: "free some space there or choose another folder",
    errno.EDQUOT: "free some of your quota there or choose another folder",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) or choose another file system",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that you may write to, or change its permissions",
    errno.EPERM: "choose a folder that you may write to, or change its permissions",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: str | Path, data: bytes) -> None:
    """Writes `data` to `path` so that at any moment either the old file or the new one is there, whole.

    The bytes go to a temporary file in the same folder, are synced to the disk, and take the old file's
    place in one step (POSIX rename(2)). The old file's permissions are kept; a symbolic link is followed.

    Raises:
        EdgenetError: the folder is missing or cannot be written, the disk is full, or `path` is a folder or
            a device. The old file is then untouched and nothing else is left behind.
    """
    target = _target_of(Path(path))
    # A short name of its own: the target's name plus a suffix might be longer than the file system allows.
    temporary = target.parent / f".edgenet-{secrets.token_hex(6)}.tmp"
    try:
        _write_synced(temporary, data, like=target)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _write_error(Path(path), error) from error
    finally:
        # Also after an interrupt. After a success the name is gone already; a read-only file system refuses
        # even to remove what is not there.
        with contextlib.suppress(OSError):
            temporary.unlink()


def sha256(data: bytes | Path) -> str:
    """The SHA-256 of some bytes, or of the file at a path, as 64 lower-case hexadecimal digits.

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
    """A zip of `members` in the order given, without compression; the same members give the same bytes.

    Args:
        members: contents by name.
        behind: bytes that the archive comes behind; they are part of the result, and offsets count from
            their start.
    """
    stream = io.BytesIO()
    stream.write(behind)
    # Mode "w" starts at the stream's position; "a" would look for an older archive in the bytes before.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            # The format's earliest date, and Unix as the system everywhere: nothing of this machine gets in.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)
    return stream.getvalue()


def _target_of(path: Path) -> Path:
    """The regular file (existing or not) that `path` stands for."""
    try:
        target = path.resolve()
        if target.is_dir():
            raise EdgenetError(f"{path} is a folder", "give the name of a file")
        # Renaming over a device or a pipe would remove it.
        if target.exists() and not target.is_file():
            raise EdgenetError(f"{path} is a device or a pipe", "give the name of a file")
        if not target.parent.is_dir():
            raise EdgenetError(f"cannot write {path}: there is no folder {path.parent}", "make it first")
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        reason = getattr(error, "strerror", None) or error
        raise EdgenetError(f"cannot write {path}: {reason}", "give another path") from error
    return target


def _write_synced(path: Path, data: bytes, like: Path) -> None:
    with path.open("xb") as handle:
        if like.exists():
            os.chmod(path, like.stat().st_mode & 0o7777)
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the new name itself survive a power failure; a no-op where a folder cannot be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems do not know this; the file itself is written and in its place.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _write_error(path: Path, error: OSError) -> EdgenetError:
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, "choose another folder")
    return EdgenetError(f"cannot write {path}: {reason}", remedy)


def make_folder(out: Path) -> None:
    """Makes a folder for results, with those above it, unless it is there.

    Raises:
        EdgenetError: it cannot be made, or nothing can be written into it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(
            f"cannot make the folder {out}: {error.strerror}", "give another one with --out"
        ) from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise EdgenetError(f"the folder {out} is read-only for you", "give another one with --out")
