"""Write files whole, so that at any moment the old or the new one is complete; and the folder for a program's own."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from edgenet_device.errors import EdgenetError

_REMEDIES = {
    errno.ENOSPC: "free some space there or choose another folder",
    errno.EDQUOT: "free some of your quota there or choose another folder",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) or choose another file system",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that you may write to, or change its permissions",
    errno.EPERM: "choose a folder that you may write to, or change its permissions",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def check_output(path: Path) -> None:
    """Check that a file can be written, before any work is done for it.

    A full disk shows only during writing; `write_atomically` then keeps the old file.

    Raises:
        EdgenetError: the path is a folder, or its folder is missing or read-only.
    """
    try:
        if path.is_dir():
            raise EdgenetError(f"{path} is a folder", "give the name of a file")
        folder = path.resolve().parent
        if not folder.is_dir():
            raise _no_folder(path)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EdgenetError(
                f"cannot write {path}: the folder {path.parent} is read-only for you",
                "choose a folder that you may write to",
            )
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise _bad_path(path, error) from None


def write_atomically(path: str | Path, data: bytes, private: bool = False) -> None:
    """Write `data` to `path` so that at any moment either the old file or the new file is complete.

    The bytes go to a temporary file in the same folder, are synced to the disk, and replace the old file
    in one step (POSIX rename(2)). The old file's permissions are kept, and a symbolic link is followed.
    With `private`, only this user may read the new file (mode 0600), whatever the old one allowed.

    Raises:
        EdgenetError: the folder is missing or cannot be written, the disk is full, or `path` is a folder, a
            device or a pipe. The old file is then unchanged, and no temporary file is left behind.
    """
    target = _target_of(Path(path))
    # The target's name with a suffix could be longer than the file system allows, so use a short name.
    temporary = target.parent / f".edgenet-{secrets.token_hex(6)}.tmp"
    try:
        _write_synced(temporary, data, None if private else target)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "choose another folder")
        raise EdgenetError(f"cannot write {path}: {reason}", remedy) from error
    finally:
        # This also cleans up after an interrupt. After a success the temporary name no longer exists, and a
        # read-only file system refuses even to remove a file that does not exist.
        with contextlib.suppress(OSError):
            temporary.unlink()


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
            raise _no_folder(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise _bad_path(path, error) from error
    return target


def _no_folder(path: Path) -> EdgenetError:
    return EdgenetError(f"cannot write {path}: there is no folder {path.parent}", "make it first")


def _bad_path(path: Path, error: Exception) -> EdgenetError:
    reason = getattr(error, "strerror", None) or error
    return EdgenetError(f"cannot write {path}: {reason}", "give another path")


def _write_synced(path: Path, data: bytes, like: Path | None) -> None:
    """Write a new file with the permissions of `like`, if there is such a file; None allows nobody else to read it."""
    with open(path, "xb", opener=None if like is not None else _opened_privately) as handle:
        if like is not None and like.exists():
            os.chmod(path, like.stat().st_mode & 0o7777)
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _opened_privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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


def state_folder() -> Path:
    """Return the folder for what a program remembers: a service's own (see systemd.exec(5)), or the user's."""
    of_service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if of_service:
        return Path(of_service)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edgenet"
