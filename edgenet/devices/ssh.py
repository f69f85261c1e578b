"""A device reached through the user's own OpenSSH: `ssh:[USER@]HOST[:PORT]`."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgenet.devices.device import DeviceFacts, ProgramResult, Ssh
from edgenet.devices.local import LocalProcess
from edgenet.devices.shell import (
    COPY_STAGE,
    copy_remedy,
    facts_of,
    kill_with_caller,
    report_signals,
    script,
    timeout_error,
)
from edgenet.devices.ssh_connection import SshConnection
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent

_FAILED = 255  # the exit status of ssh itself if the connection fails


@contextmanager
def open_ssh(target: Ssh, name: str) -> Iterator[SshDevice]:
    """Yield a device reached by ssh for the duration of the block.

    Raises:
        EdgenetError: the device cannot be reached; the message says why and what to do.
    """
    connection = SshConnection(target, name)
    try:
        yield SshDevice(connection)
    finally:
        connection.close()


class SshDevice:
    """A machine reached by ssh, with the methods of `device.Device`. Create it with `open_ssh`."""

    def __init__(self, connection: SshConnection) -> None:
        self.name = connection.name
        self.home = f"{connection.home}/.local/share/edgenet"
        self._connection = connection
        self._facts: DeviceFacts | None = None

    def run(
        self, command: Sequence[str], stdin: bytes = b"", timeout_s: float | None = None
    ) -> ProgramResult:
        """Run a program on the device. With a timeout, `stdin` is ignored."""
        if timeout_s is not None:
            return self._run_in_time(command, timeout_s)
        done = subprocess.run(
            self._connection.command(report_signals(command)), input=stdin, capture_output=True, check=False
        )
        return self._checked(ProgramResult(done.returncode, done.stdout, done.stderr))

    @contextmanager
    def start(self, command: Sequence[str]) -> Iterator[_SshProcess]:
        """Start a program on the device."""
        running = _SshProcess(self._connection, command)
        try:
            yield running
        finally:
            running.stop()

    def push(self, files: Mapping[str, Path | bytes], folder: str, progress: Progress = silent) -> None:
        """Copy files to the device with rsync, or with tar if either machine lacks rsync."""
        _copy(self._connection, self.run, files, folder, progress)

    def pull(self, remote: str) -> bytes:
        """Return the contents of a file on the device."""
        done = self.run(["cat", "--", remote])
        if done.status:
            raise EdgenetError(f"cannot read {remote} on {self.name}: {done.last_line()}")
        return done.out

    @contextmanager
    def forward(self, port: int) -> Iterator[int]:
        """Yield a local port that forwards to a port of the device."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            here = int(free.getsockname()[1])
        command = self._connection.forwarding("forward", here, port)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EdgenetError(
                f"cannot reach port {port} of {self.name}: {done.stderr.strip()}",
                "run the same command again",
            )
        try:
            yield here
        finally:
            subprocess.run(
                self._connection.forwarding("cancel", here, port), capture_output=True, check=False
            )

    def facts(self) -> DeviceFacts:
        """Return the device's facts, asked once and remembered."""
        if self._facts is None:
            self._facts = facts_of(self)
        return self._facts

    def _run_in_time(self, command: Sequence[str], timeout_s: float) -> ProgramResult:
        read_end, write_end = os.pipe()
        process = subprocess.Popen(
            self._connection.command(kill_with_caller(command)),
            stdin=read_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(read_end)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.close(write_end)  # the end of its input ends the program on the device
            process.communicate()
            raise timeout_error(command, timeout_s, self.name) from None
        os.close(write_end)
        return self._checked(ProgramResult(process.returncode, out, err))

    def _checked(self, done: ProgramResult) -> ProgramResult:
        if done.status == _FAILED:
            self._connection.check()
        return done


class _SshProcess(LocalProcess):
    """A program on the device, run by an ssh process on this machine."""

    def __init__(self, connection: SshConnection, command: Sequence[str]) -> None:
        super().__init__(connection.command(kill_with_caller(command)), stop_signal=None)
        self._connection = connection
        self._stopped = False

    def stop(self) -> None:
        """End the program. A connection that is lost meanwhile is no error."""
        self._stopped = True
        super().stop()

    def finish(self) -> ProgramResult:
        """Wait for the program to end."""
        done = super().finish()
        if done.status == _FAILED and not self._stopped:
            self._connection.check()
        return done


_PREPARE = 'mkdir -p "$1" && command -v rsync'
_Run = Callable[..., ProgramResult]


def _copy(
    connection: SshConnection, run: _Run, files: Mapping[str, Path | bytes], folder: str, progress: Progress
) -> None:
    """Copy files into a folder on the device, with rsync, which skips files already there, or else with tar.

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
        raise EdgenetError(f"cannot make {folder} on {connection.name}: {ready.last_line()}", _remedy(ready))
    with tempfile.TemporaryDirectory(prefix="edgenet-") as staged:
        total = _stage(files, Path(staged))
        progress(COPY_STAGE, 0, total)
        if ready.status == 0 and _has_rsync():
            done = _rsync(connection, Path(staged), folder, lambda count: progress(COPY_STAGE, count, total))
        else:
            done = run(["tar", "-xf", "-", "-C", folder], _tar(Path(staged)))
        if done.status:
            connection.check()
            raise EdgenetError(f"cannot copy to {connection.name}: {_reason(done)}", _remedy(done))
        progress(COPY_STAGE, total, total)


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


# A line of rsync's --info=progress2, which begins with the number of bytes copied so far.
_DONE_SO_FAR = re.compile(rb"^\s*(\d+)\s+\d+%")


def _rsync(
    connection: SshConnection, staged: Path, folder: str, count: Callable[[int], None]
) -> ProgramResult:
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
    return ProgramResult(process.returncode, b"", err)


def _tar(staged: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
        archive.add(staged, ".")
    return packed.getvalue()


def _reason(done: ProgramResult) -> str:
    """Return the line that says why the copy failed; rsync's last line only names a place in its source."""
    lines = done.err.decode(errors="replace").splitlines()
    telling = [line for line in lines if "rror" not in line or "No space" in line or "denied" in line]
    found = [line for line in telling if "No space left" in line or "ermission denied" in line] or telling
    return found[0].strip() if found else done.last_line()


def _remedy(done: ProgramResult) -> str:
    said = done.err.decode(errors="replace")
    return copy_remedy(said, "run the same command again; files already copied are kept")
