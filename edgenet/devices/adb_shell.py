"""Running programs on a phone over version 2 of adb's shell protocol.

The protocol keeps standard output, standard error, standard input and the exit status apart, all as bytes.
"""

from __future__ import annotations

import shlex
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from time import monotonic

from edgenet.devices.adb_link import AdbLink, read_exactly
from edgenet.devices.device import Finished
from edgenet.errors import EdgenetError

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_CHUNK = 32 * 1024
_GRACE_S = 15.0  # longer than the ten seconds after which `posix.watched` kills the program


class AdbProcess:
    """A running program on a phone (a `device.Running`).

    Args:
        link: connects to the phone.
        command: the program with its arguments.
    """

    def __init__(self, link: AdbLink, command: Sequence[str]) -> None:
        self._link = link
        self._open = ExitStack()
        # The phone's shell parses one line of text, so every argument is quoted.
        self._stream = self._open.enter_context(link.service(f"shell,v2,raw:{shlex.join(command)}"))
        self._out, self._err = bytearray(), bytearray()
        self._status: int | None = None

    def send(self, content: bytes) -> None:
        """Send the program its whole standard input from a thread, so that we can read output meanwhile."""
        threading.Thread(target=self._send, args=(content,), daemon=True).start()

    def lines(self) -> Iterator[str]:
        """Yield the lines of standard output."""
        for _ in self._packets():
            while (end := self._out.find(b"\n")) >= 0:
                line = bytes(self._out[:end])
                del self._out[: end + 1]
                yield line.decode(errors="replace").rstrip("\r")
        if self._out:
            rest = bytes(self._out)
            self._out.clear()
            yield rest.decode(errors="replace")

    def stop(self) -> None:
        """End the program. A phone that is disconnected meanwhile is no error."""
        if self._status is None:
            with suppress(EdgenetError, OSError):
                self._packet(_CLOSE_STDIN, b"")
                self.finish(_GRACE_S)
        with suppress(EdgenetError):
            self._open.close()

    def finish(self, timeout_s: float | None = None) -> Finished:
        """Wait for the program to end.

        Raises:
            TimeoutError: the program did not end within `timeout_s`.
            EdgenetError: the phone is disconnected.
        """
        end = None if timeout_s is None else monotonic() + timeout_s
        if self._status is None:
            self._stream.settimeout(timeout_s)
        for _ in self._packets():
            if end is not None:
                self._stream.settimeout(max(end - monotonic(), 0.001))
        assert self._status is not None
        return Finished(self._status, bytes(self._out), bytes(self._err))

    def _packets(self) -> Iterator[None]:
        """Collect the program's output until it ends, yielding after each packet."""
        while self._status is None:
            try:
                kind, size = struct.unpack("<BI", read_exactly(self._stream, 5))
                content = read_exactly(self._stream, size)
            except TimeoutError:
                raise
            except (OSError, EOFError) as error:
                with self._link.watched():
                    raise error
            if kind == _STDOUT:
                self._out += content
            elif kind == _STDERR:
                self._err += content
            elif kind == _EXIT:
                self._status = content[0]
            yield

    def _send(self, content: bytes) -> None:
        with suppress(OSError):  # a program may end without reading all of its input
            for start in range(0, len(content), _CHUNK):
                self._packet(_STDIN, content[start : start + _CHUNK])
            self._packet(_CLOSE_STDIN, b"")

    def _packet(self, kind: int, content: bytes) -> None:
        self._stream.sendall(struct.pack("<BI", kind, len(content)) + content)
