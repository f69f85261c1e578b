"""Atomic file writes, checksums, and zip archives that are byte for byte reproducible."""

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
# What zipfile raises for a damaged archive, depending on which byte changed (RuntimeError: an entry is marked
# as encrypted; NotImplementedError, a subclass of it: the compression is unknown).
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
    """Write `data` to `path` so that at any moment either the old file or the new file is complete.

    The bytes go to a temporary file in the same folder, are synced to the disk, and replace the old file
    in one step (POSIX rename(2)). The old file's permissions are kept, and a symbolic link is followed.

    Raises:
        EdgenetError: the folder is missing or cannot be written, the disk is full, or `path` is a folder, a
            device or a pipe. The old file is then unchanged, and no temporary file is left behind.
    """
    target = _target_of(Path(path))
    # The target's name with a suffix could be longer than the file system allows, so use a short name.
    temporary = target.parent / f".edgenet-{secrets.token_hex(6)}.tmp"
    try:
        _write_synced(temporary, data, like=target)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _write_error(Path(path), error) from error
    finally:
        # This also cleans up after an interrupt. After a success the temporary name no longer exists, and a
        # read-only file system refuses even to remove a file that does not exist.
        with contextlib.suppress(OSError):
            temporary.unlink()


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


def _target_of(path: Path) -> Path:
    """Return the regular file that `path` points to after links are followed; it need not exist yet."""
    try:
        target = path.resolve()
        if target.is_dir():
            raise EdgenetError(f"{path} is a folder", "give the name of a file")
        # Renaming a file over a device or a pipe would remove the device or pipe.
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
    """Sync a folder so that a renamed file survives a power failure; do nothing if folders cannot be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems cannot sync folders; the file is already written and renamed.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _write_error(path: Path, error: OSError) -> EdgenetError:
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, "choose another folder")
    return EdgenetError(f"cannot write {path}: {reason}", remedy)


def make_folder(out: Path) -> None:
    """Make a folder for results, with its parent folders, unless it exists already.

    Raises:
        EdgenetError: the folder cannot be made, or it is not writable.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(
            f"cannot make the folder {out}: {error.strerror}", "give another one with --out"
        ) from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise EdgenetError(f"the folder {out} is read-only for you", "give another one with --out")


# ==== edgenet.verbs.outputs
# Checks before the work, rather than after it, that its result can be written.


def check_output(out: Path, *sources: str | Path) -> None:
    """Check that `write_atomically` can write a file and would not overwrite a file that the work reads.

    A full disk shows only during writing; `write_atomically` then keeps the old file.

    Args:
        out: the file that will be written.
        sources: the files that are read; a text that is not a path, such as a variant's name, is ignored.

    Raises:
        EdgenetError: `out` is a folder or one of the sources, or its folder is missing or not writable.
    """
    try:
        if out.is_dir():
            raise EdgenetError(f"{out} is a folder", "give the name of a file")
        folder = out.resolve().parent
        if not folder.is_dir():
            raise EdgenetError(f"cannot write {out}: there is no folder {out.parent}", "make it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EdgenetError(
                f"cannot write {out}: the folder {out.parent} is read-only for you",
                "choose a folder that you may write to",
            )
        if any(_same(out, source) for source in sources):
            raise EdgenetError(f"{out} is also the input", "give the result another name")
    except (OSError, RuntimeError) as error:  # RuntimeError: a symlink loop, before Python 3.13
        reason = getattr(error, "strerror", None) or error
        raise EdgenetError(f"cannot write {out}: {reason}", "give another path") from None


def _same(out: Path, source: str | Path) -> bool:
    return out.exists() and os.path.exists(source) and os.path.samefile(out, source)
