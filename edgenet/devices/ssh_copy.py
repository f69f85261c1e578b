"""Copying files over an open ssh connection: rsync, which moves only what is not there yet, or tar."""

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

STAGE = "copy"  # its progress counts bytes

_DONE_SO_FAR = re.compile(rb"^\s*(\d+)\s+\d+%")
_PREPARE = 'mkdir -p "$1" && command -v rsync'

Run = Callable[..., Finished]


def copy(
    connection: SshConnection, run: Run, files: Mapping[str, Path | bytes], folder: str, progress: Progress
) -> None:
    """Copies files into a folder there, which is made.

    Args:
        connection: the way there.
        run: runs a command there, with standard input.
        files: contents or files here, by path within the folder.
        folder: absolute path there.
        progress: counts bytes.

    Raises:
        EdgenetError: it cannot be written, the disk is full, the connection is lost.
    """
    ready = run(script(_PREPARE, folder))
    # mkdir says why it failed; that there is no rsync is told by silence.
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
    """An rsync of ours that counts bytes for us (macOS comes with another one)."""
    if shutil.which("rsync") is None:
        return False
    said = subprocess.run(["rsync", "--version"], capture_output=True, check=False).stdout
    return re.match(rb"rsync\s+version (3\.[1-9]|[4-9])", said) is not None


def _stage(files: Mapping[str, Path | bytes], folder: Path) -> int:
    """Lays the files out as they shall lie there; returns their bytes."""
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
    # -L: what the links lead to; -c: by content; -s: the path there is no shell's business; --info: bytes so far.
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
    # Its progress comes in lines that end with a carriage return.
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
    """The line that says why: rsync ends with one that only says where in its source."""
    lines = done.err.decode(errors="replace").splitlines()
    telling = [line for line in lines if "rror" not in line or "No space" in line or "denied" in line]
    found = [line for line in telling if "No space left" in line or "ermission denied" in line] or telling
    return found[0].strip() if found else done.last_words()


def _remedy(done: Finished) -> str:
    if b"No space left" in done.err:
        return "free some space there"
    if b"ermission denied" in done.err or b"Read-only" in done.err:
        return "see who owns the folder there"
    return "do the same again: what was copied is kept"
