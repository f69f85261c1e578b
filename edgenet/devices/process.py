"""A child process on this machine: a local program, or the `ssh` that runs a program on a device."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence

from edgenet.devices.device import Finished

_GRACE_S = 10.0


class LocalProcess:
    """A running program (a `device.Running`) that is a process on this machine.

    A separate thread reads standard error, so that neither stream can block the other.

    Args:
        command: the program with its arguments.
        stop_signal: the signal that asks the program to end; None if closing its standard input does (see
            `posix.watched`).
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

    def finish(self) -> Finished:
        """Wait for the program to end."""
        assert self._process.stdout is not None
        out = b"" if self._process.stdout.closed else self._process.stdout.read()
        status = self._process.wait()
        self._drain.join()
        self._process.stdout.close()
        return Finished(status if status >= 0 else 128 - status, out, b"".join(self._err))

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
