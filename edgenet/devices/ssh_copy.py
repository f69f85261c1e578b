"""Copying files over an open ssh connection with rsync, which skips files already there, or with tar."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from edgenet.devices.device import Finished
from edgenet.devices.posix import script
from edgenet.devices.ssh_connection import SshConnection
from edgenet.errors import EdgenetError
from edgenet.progress import Progress

STAGE = "copy"  # progress in this stage counts bytes

_DONE_SO_FAR = re.compile(rb"^\s*(\d+)\s+\d+%")
_PREPARE = 'mkdir -p "$1" && command -v rsync'

Run = Callable[..., Finished]


def copy(
    connection: SshConnection, run: Run, files: Mapping[str, Path | bytes], folder: str, progress: Progress
) -> None:
    """Copy files into a folder on the device, creating the folder.

    Args:
        connection: the open connection.
        run: runs a command on the device, with standard input.
        files: maps each path within the folder to contents or to a file on this machine.
        folder: absolute path on the device.
        progress: reports bytes copied.

    Raises:
        EdgenetError: the folder cannot be written, the disk is full, or the connection is lost.
    """
    ready = run(script(_PREPARE, folder))
    # A failed mkdir prints why; `command -v` fails silently if there is no rsync.
    if ready.status and ready.err:
        raise EdgenetError(f"cannot make {folder} on {connection.name}: {ready.last_words()}", _remedy(ready))
    with tempfile.TemporaryDirectory(prefix="edgenet-") as staged:
        total = _stage(files, Path(staged))
        progress(STAGE, 0, total)
        if ready.status == 0 and _has_rsync():
            done = _rsync(connection, Path(staged), folder, lambda count: progress(STAGE, count, total))
        else:
            done = run(["tar", "-xf", "-", "-C", folder], _tar(Path(staged)))
        if done.status:
            connection.check()
            raise EdgenetError(f"cannot copy to {connection.name}: {_reason(done)}", _remedy(done))
        progress(STAGE, total, total)


def _has_rsync() -> bool:
    """Return whether this machine has rsync 3.1 or newer, for --info=progress2 (macOS ships another one)."""
    if shutil.which("rsync") is None:
        return False
    said = subprocess.run(["rsync", "--version"], capture_output=True, check=False).stdout
    return re.match(rb"rsync\s+version (3\.[1-9]|[4-9])", said) is not None


def _stage(files: Mapping[str, Path | bytes], folder: Path) -> int:
    """Lay the files out in a local folder as they will be on the device; return their total size in bytes."""
    total = 0
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            place.write_bytes(content)
        else:
            place.symlink_to(content.resolve())
        total += place.stat().st_size
    return total


def _rsync(connection: SshConnection, staged: Path, folder: str, count: Callable[[int], None]) -> Finished:
    # -L: follow links; -c: compare contents; -s: keep the remote shell from expanding the path;
    # --info=progress2: print the bytes copied so far.
    options = ["-rLcs", "--partial", "--chmod=D755,F644", "--info=progress2", "--no-human-readable"]
    process = subprocess.Popen(
        [
            "rsync",
            *options,
            "-e",
            shlex.join(connection.transport()),
            f"{staged}/",
            connection.remote(folder),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    # rsync ends its progress lines with a carriage return; newline=None splits at these too.
    for line in io.TextIOWrapper(process.stdout, newline=None, errors="replace"):
        if found := _DONE_SO_FAR.match(line.encode()):
            count(int(found.group(1)))
    _, err = process.communicate()
    return Finished(process.returncode, b"", err)


def _tar(staged: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
        archive.add(staged, ".")
    return packed.getvalue()


def _reason(done: Finished) -> str:
    """Return the line that says why the copy failed; rsync's last line only names a place in its source."""
    lines = done.err.decode(errors="replace").splitlines()
    telling = [line for line in lines if "rror" not in line or "No space" in line or "denied" in line]
    found = [line for line in telling if "No space left" in line or "ermission denied" in line] or telling
    return found[0].strip() if found else done.last_words()


def _remedy(done: Finished) -> str:
    if b"No space left" in done.err:
        return "free some space on the device"
    if b"ermission denied" in done.err or b"Read-only" in done.err:
        return "check who owns the folder on the device"
    return "run the same command again; files already copied are kept"
