"""This machine as a device, with the same methods as a remote one, and its child processes."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgenet_device.latency.conditions import device_facts

from edgenet.devices.device import DeviceFacts, ProgramResult
from edgenet.devices.shell import COPY_STAGE, timeout_error
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.progress import Progress, silent


class LocalDevice:
    """This machine, with the methods of `device.Device`."""

    name = "local"

    def __init__(self) -> None:
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        self.home = os.path.join(base, "edgenet")

    def run(
        self, command: Sequence[str], stdin: bytes = b"", timeout_s: float | None = None
    ) -> ProgramResult:
        """Run a program on this machine."""
        try:
            done = subprocess.run(
                list(command), input=stdin, capture_output=True, timeout=timeout_s, check=False
            )
        except OSError as error:
            return ProgramResult(127, b"", f"{command[0]}: {error.strerror}".encode())
        except subprocess.TimeoutExpired:
            assert timeout_s is not None  # otherwise it would not have expired
            raise timeout_error(command, timeout_s, self.name) from None
        return ProgramResult(
            done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr
        )

    @contextmanager
    def start(self, command: Sequence[str]) -> Iterator[LocalProcess]:
        """Start a program on this machine."""
        running = LocalProcess(command, stop_signal=signal.SIGTERM)
        try:
            yield running
        finally:
            running.stop()

    def push(self, files: Mapping[str, Path | bytes], folder: str, progress: Progress = silent) -> None:
        """Copy files into a folder on this machine."""
        for count, (name, content) in enumerate(files.items(), 1):
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, content if isinstance(content, bytes) else content.read_bytes())
            progress(COPY_STAGE, count, len(files))

    def pull(self, remote: str) -> bytes:
        """Return the contents of a file on this machine."""
        try:
            return Path(remote).read_bytes()
        except OSError as error:
            raise EdgenetError(f"cannot read {remote}: {error.strerror}") from error

    @contextmanager
    def forward(self, port: int) -> Iterator[int]:
        """Yield the port itself: nothing needs forwarding."""
        yield port

    def facts(self) -> DeviceFacts:
        """Return this machine's facts."""
        found = device_facts()
        return DeviceFacts(
            machine=platform.machine(),
            userland=platform.machine(),
            system=found["os"],
            model=found["model"],
            python=sys.version_info[:3],
            camera_stack=("v4l2",) if any(Path("/dev").glob("video*")) else (),
            free_bytes=shutil.disk_usage(Path.home()).free,
        )


_GRACE_S = 10.0


class LocalProcess:
    """A child process on this machine as a `device.Running`: a program, or the `ssh` that runs one elsewhere.

    A separate thread reads standard error, so that neither stream can block the other.

    Args:
        command: the program with its arguments.
        stop_signal: the signal that asks the program to end; None if closing its standard input does (see
            `shell.kill_with_caller`).
    """

    def __init__(self, command: Sequence[str], stop_signal: int | None = signal.SIGTERM) -> None:
        self._stop_signal = stop_signal
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL if stop_signal is not None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C in our terminal must not reach ssh: closing its input ends the remote program.
            start_new_session=stop_signal is None,
        )
        self._err: list[bytes] = []
        self._drain = threading.Thread(target=self._read_err, daemon=True)
        self._drain.start()

    def lines(self) -> Iterator[str]:
        """Yield the lines of standard output."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield line.decode(errors="replace").rstrip("\r\n")

    def stop(self) -> None:
        """Ask the program to end, and kill it if it is still running after ten seconds."""
        if self._process.poll() is None:
            self._ask_to_end()
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self.finish()

    def finish(self) -> ProgramResult:
        """Wait for the program to end."""
        assert self._process.stdout is not None
        out = b"" if self._process.stdout.closed else self._process.stdout.read()
        status = self._process.wait()
        self._drain.join()
        self._process.stdout.close()
        return ProgramResult(status if status >= 0 else 128 - status, out, b"".join(self._err))

    def _ask_to_end(self) -> None:
        if self._stop_signal is not None:
            self._process.send_signal(self._stop_signal)
        elif self._process.stdin is not None:
            self._process.stdin.close()

    def _read_err(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._err.append(line)
