"""A device reached through the user's own OpenSSH: `ssh:[USER@]HOST[:PORT]`."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgenet.devices.device import DeviceFacts, Finished
from edgenet.devices.posix import told, watched
from edgenet.devices.posix_facts import facts_of
from edgenet.devices.process import LocalProcess
from edgenet.devices.ssh_connection import SshConnection
from edgenet.devices.ssh_copy import copy
from edgenet.devices.target import Ssh
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent

_FAILED = 255  # the exit status of ssh itself if the connection fails


class SshDevice:
    """A machine reached by ssh, with the methods of `device.Device`. Create it with `connected`."""

    def __init__(self, connection: SshConnection) -> None:
        self.name = connection.name
        self.home = f"{connection.home}/.local/share/edgenet"
        self._connection = connection
        self._facts: DeviceFacts | None = None

    def run(self, command: Sequence[str], stdin: bytes = b"", timeout_s: float | None = None) -> Finished:
        """Run a program on the device. With a timeout, `stdin` is ignored."""
        if timeout_s is not None:
            return self._run_in_time(command, timeout_s)
        done = subprocess.run(
            self._connection.command(told(command)), input=stdin, capture_output=True, check=False
        )
        return self._judged(Finished(done.returncode, done.stdout, done.stderr))

    @contextmanager
    def start(self, command: Sequence[str]) -> Iterator[_Running]:
        """Start a program on the device."""
        running = _Running(self._connection, command)
        try:
            yield running
        finally:
            running.stop()

    def push(self, files: Mapping[str, Path | bytes], folder: str, progress: Progress = silent) -> None:
        """Copy files to the device with rsync, or with tar if either machine lacks rsync."""
        copy(self._connection, self.run, files, folder, progress)

    def pull(self, remote: str) -> bytes:
        """Return the contents of a file on the device."""
        done = self.run(["cat", "--", remote])
        if done.status:
            raise EdgenetError(f"cannot read {remote} on {self.name}: {done.last_words()}")
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

    def _run_in_time(self, command: Sequence[str], timeout_s: float) -> Finished:
        read_end, write_end = os.pipe()
        process = subprocess.Popen(
            self._connection.command(watched(command)),
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
            raise EdgenetError(
                f"{command[0]} did not end within {timeout_s:g} s on {self.name}",
                "check what keeps the device busy",
            ) from None
        os.close(write_end)
        return self._judged(Finished(process.returncode, out, err))

    def _judged(self, done: Finished) -> Finished:
        if done.status == _FAILED:
            self._connection.check()
        return done


class _Running(LocalProcess):
    """A program on the device, run by an ssh process on this machine."""

    def __init__(self, connection: SshConnection, command: Sequence[str]) -> None:
        super().__init__(connection.command(watched(command)), stop_signal=None)
        self._connection = connection
        self._stopped = False

    def stop(self) -> None:
        """End the program. A connection that is lost meanwhile is no error."""
        self._stopped = True
        super().stop()

    def finish(self) -> Finished:
        """Wait for the program to end."""
        done = super().finish()
        if done.status == _FAILED and not self._stopped:
            self._connection.check()
        return done


@contextmanager
def connected(target: Ssh, name: str) -> Iterator[SshDevice]:
    """Yield the device for the duration of the block.

    Raises:
        EdgenetError: the device cannot be reached; the message says why and what to do.
    """
    connection = SshConnection(target, name)
    try:
        yield SshDevice(connection)
    finally:
        connection.close()
