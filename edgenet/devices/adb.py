"""A phone reached through the user's own adb server: `adb` or `adb:SERIAL`.

edgenet installs no app on the phone and needs no root.
"""

from __future__ import annotations

import io
import shlex
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from time import monotonic

from edgenet.devices.adb_connection import AdbConnection, end_files, read_exactly, send_file, serial_of
from edgenet.devices.device import Adb, DeviceFacts, ProgramResult
from edgenet.devices.shell import (
    COPY_STAGE,
    copy_remedy,
    facts_of,
    kill_with_caller,
    script,
    timeout_error,
)
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent

HOME = "/data/local/tmp/edgenet"  # adb's user may write files and start programs here
_MAKE_FOLDERS = 'for folder in "$@"; do mkdir -p "$folder" || exit 1; done'


@contextmanager
def open_phone(target: Adb, name: str) -> Iterator[AdbDevice]:
    """Yield the phone for the duration of the block.

    Args:
        target: which phone.
        name: the target as the user gave it.

    Raises:
        EdgenetError: there is no such phone, or it cannot be used; the message says why and what to do.
    """
    connection = AdbConnection(serial_of(target), name)
    with connection.translating_errors():
        features = connection.device.get_features().split(",")
    if "shell_v2" not in features:
        raise EdgenetError(f"{name} runs an Android older than 7", "edgenet needs Android 7 or newer")
    yield AdbDevice(connection)


class AdbDevice:
    """A phone, with the methods of `device.Device`. Create it with `open_phone`.

    Attributes:
        serial: the phone's serial number.
    """

    def __init__(self, connection: AdbConnection) -> None:
        self.name = connection.name
        self.home = HOME
        self.serial = connection.serial
        self._connection = connection
        self._facts: DeviceFacts | None = None

    def run(
        self, command: Sequence[str], stdin: bytes = b"", timeout_s: float | None = None
    ) -> ProgramResult:
        """Run a program on the phone. With a timeout, `stdin` is ignored."""
        if timeout_s is not None:
            return self._run_in_time(command, timeout_s)
        process = AdbProcess(self._connection, command)
        try:
            process.send(stdin)
            return process.finish()
        finally:
            process.stop()

    @contextmanager
    def start(self, command: Sequence[str]) -> Iterator[AdbProcess]:
        """Start a program on the phone."""
        process = AdbProcess(self._connection, kill_with_caller(command))
        try:
            yield process
        finally:
            process.stop()

    def push(self, files: Mapping[str, Path | bytes], folder: str, progress: Progress = silent) -> None:
        """Copy files to the phone; files named bin/... become executable."""
        folders = sorted({str((PurePosixPath(folder) / name).parent) for name in files} | {folder})
        made = self.run(script(_MAKE_FOLDERS, *folders))
        if made.status:
            raise EdgenetError(
                f"cannot make {folder} on {self.name}: {made.last_line()}", copy_remedy(made.last_line())
            )
        total = sum(_size(content) for content in files.values())
        done = 0

        def sent(count: int) -> None:
            nonlocal done
            done += count
            progress(COPY_STAGE, done, total)

        progress(COPY_STAGE, 0, total)
        with self._connection.service("sync:") as stream:
            for name, content in files.items():
                mode = 0o755 if name.startswith("bin/") else 0o644
                with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
                    refused = send_file(stream, source, f"{folder}/{name}", mode, sent)
                if refused:
                    raise EdgenetError(f"cannot copy {name} to {self.name}: {refused}", copy_remedy(refused))
            end_files(stream)

    def pull(self, remote: str) -> bytes:
        """Return the contents of a file on the phone."""
        done = self.run(["cat", remote])
        if done.status:
            raise EdgenetError(f"cannot read {remote} on {self.name}: {done.last_line()}")
        return done.out

    @contextmanager
    def forward(self, port: int) -> Iterator[int]:
        """Yield a local port that forwards to a port of the phone."""
        from adbutils import get_free_port

        here = get_free_port()
        with self._connection.translating_errors():
            self._connection.device.forward(f"tcp:{here}", f"tcp:{port}")
        try:
            yield here
        finally:
            with self._connection.translating_errors():
                self._connection.device.forward_remove(f"tcp:{here}", raise_non_found=False)

    @contextmanager
    def reverse(self, port: int, wanted: int = 0) -> Iterator[int]:
        """Yield a port of the phone's 127.0.0.1 that forwards to this port of our own during the block.

        Args:
            port: our port.
            wanted: the phone's port; any free one if it is 0 or in use.
        """
        try:
            there = self._reverse_from(wanted, port)
        except EdgenetError:
            if not wanted:
                raise
            there = self._reverse_from(0, port)
        try:
            yield there
        finally:
            with self._connection.translating_errors():
                self._connection.device.reverse_remove(f"tcp:{there}")

    def _reverse_from(self, there: int, port: int) -> int:
        with self._connection.translating_errors(), self._connection.device.open_transport() as transport:
            transport.send_command(f"reverse:forward:norebind:tcp:{there};tcp:{port}")
            transport.check_okay()  # the first answer: the phone understood the request
            transport.check_okay()  # the second answer: the phone carried it out
            return there or int(transport.read_string_block())

    def check(self) -> None:
        """Raise EdgenetError if the phone is disconnected."""
        with self._connection.translating_errors():
            self._connection.device.get_state()

    def facts(self) -> DeviceFacts:
        """Return the phone's facts, asked once and remembered."""
        if self._facts is None:
            self._facts = facts_of(self)
        return self._facts

    def _run_in_time(self, command: Sequence[str], timeout_s: float) -> ProgramResult:
        process = AdbProcess(self._connection, kill_with_caller(command))
        try:
            return process.finish(timeout_s)
        except TimeoutError:
            raise timeout_error(command, timeout_s, self.name) from None
        finally:
            process.stop()


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def shell_text(command: Sequence[str]) -> str:
    """Return the text with which the shell that adbd starts runs a command.

    A script (see `shell.script`) runs in that shell itself, which saves starting another one. adbd reports the
    signal that ends its shell as the exit status 128 + the signal's number.
    """
    if tuple(command[:2]) != ("sh", "-c"):
        return shlex.join(command)
    text, values = command[2], command[4:]
    return f"set -- {shlex.join(values)}\n{text}"


# The kinds of packets of version 2 of adb's shell protocol.
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_CHUNK = 32 * 1024
_GRACE_S = 15.0  # longer than the ten seconds after which `kill_with_caller` kills the program


class AdbProcess:
    """A running program on a phone (a `device.Running`), over version 2 of adb's shell protocol.

    The protocol keeps standard output, standard error, standard input and the exit status apart, all as
    bytes.

    Args:
        connection: connects to the phone.
        command: the program with its arguments.
    """

    def __init__(self, connection: AdbConnection, command: Sequence[str]) -> None:
        self._connection = connection
        self._open = ExitStack()
        self._stream = self._open.enter_context(connection.service(f"shell,v2,raw:{shell_text(command)}"))
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

    def finish(self, timeout_s: float | None = None) -> ProgramResult:
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
        return ProgramResult(self._status, bytes(self._out), bytes(self._err))

    def _packets(self) -> Iterator[None]:
        """Collect the program's output until it ends, yielding after each packet."""
        while self._status is None:
            try:
                kind, size = struct.unpack("<BI", read_exactly(self._stream, 5))
                content = read_exactly(self._stream, size)
            except TimeoutError:
                raise
            except (OSError, EOFError) as error:
                with self._connection.translating_errors():
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
