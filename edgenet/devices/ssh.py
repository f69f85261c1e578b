"""A device behind the user's own OpenSSH: `ssh:[USER@]HOST[:PORT]`."""

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

_FAILED = 255  # what ssh itself ends with when something is wrong with the connection


class SshDevice:
    """A machine reached by ssh; see `device.Device`. Use within `connected`."""

    def __init__(self, connection: SshConnection) -> None:
        self.name = connection.name
        self.home = f"{connection.home}/.local/share/edgenet"
        self._connection = connection
        self._facts: DeviceFacts | None = None

    def run(self, command: Sequence[str], stdin: bytes = b"", timeout_s: float | None = None) -> Finished:
        """Runs a program there; one with a timeout gets no input."""
        if timeout_s is not None:
            return self._run_in_time(command, timeout_s)
        done = subprocess.run(
            self._connection.command(told(command)), input=stdin, capture_output=True, check=False
        )
        return self._judged(Finished(done.returncode, done.stdout, done.stderr))

    @contextmanager
    def start(self, command: Sequence[str]) -> Iterator[_Running]:
        """Starts a program there."""
        running = _Running(self._connection, command)
        try:
            yield running
        finally:
            running.stop()

    def push(self, files: Mapping[str, Path | bytes], folder: str, progress: Progress = silent) -> None:
        """Copies files there with rsync, or with tar where one side lacks it."""
        copy(self._connection, self.run, files, folder, progress)

    def pull(self, remote: str) -> bytes:
        """The contents of a file there."""
        done = self.run(["cat", "--", remote])
        if done.status:
            raise EdgenetError(f"cannot read {remote} on {self.name}: {done.last_words()}")
        return done.out

    @contextmanager
    def forward(self, port: int) -> Iterator[int]:
        """A port here that leads to one there."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            here = int(free.getsockname()[1])
        command = self._connection.forwarding("forward", here, port)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EdgenetError(f"cannot reach port {port} of {self.name}: {done.stderr.strip()}", "try again")
        try:
            yield here
        finally:
            subprocess.run(
                self._connection.forwarding("cancel", here, port), capture_output=True, check=False
            )

    def facts(self) -> DeviceFacts:
        """What the machine is."""
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
            os.close(write_end)  # which ends the program there
            process.communicate()
            raise EdgenetError(
                f"{command[0]} did not end within {timeout_s:g} s on {self.name}", "see what keeps it busy"
            ) from None
        os.close(write_end)
        return self._judged(Finished(process.returncode, out, err))

    def _judged(self, done: Finished) -> Finished:
        if done.status == _FAILED:
            self._connection.check()
        return done


class _Running(LocalProcess):
    """A program there, by the ssh here that leads to it."""

    def __init__(self, connection: SshConnection, command: Sequence[str]) -> None:
        super().__init__(connection.command(watched(command)), stop_signal=None)
        self._connection = connection
        self._stopped = False

    def stop(self) -> None:
        """Ends it; that the connection is lost meanwhile does not matter any more."""
        self._stopped = True
        super().stop()

    def finish(self) -> Finished:
        """Waits for its end."""
        done = super().finish()
        if done.status == _FAILED and not self._stopped:
            self._connection.check()
        return done


@contextmanager
def connected(target: Ssh, name: str) -> Iterator[SshDevice]:
    """The device, for as long as the block lasts.

    Raises:
        EdgenetError: it cannot be reached; says why and what to do.
    """
    connection = SshConnection(target, name)
    try:
        yield SshDevice(connection)
    finally:
        connection.close()
