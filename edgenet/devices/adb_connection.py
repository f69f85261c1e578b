"""Reaching a phone through the user's own adb server: which phone, always by its serial number, and its services.

adbutils is imported only where it is used: importing it takes a tenth of a second, which no other device needs.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from edgenet_device.foreign_text import is_number

from edgenet.devices.device import Adb, UnreachableError
from edgenet.errors import EdgenetError

_PLUG_IN = (
    "plug the phone in with USB debugging on (Settings, Developer options); adb devices lists attached phones"
)


@dataclass(frozen=True)
class Phone:
    """A phone as the adb server lists it.

    Attributes:
        serial: its serial number.
        state: the adb server's word for its state; "device" means that it can be used.
    """

    serial: str
    state: str


def serial_of(target: Adb) -> str:
    """Return the target phone's serial number: the one named, or ANDROID_SERIAL, or the only one attached.

    Raises:
        EdgenetError: there is no such phone, it cannot be used now, or several fit.
    """
    found = phones()
    wanted = target.serial or os.environ.get("ANDROID_SERIAL")
    if wanted is not None:
        found = [phone for phone in found if phone.serial == wanted]
    if not found:
        raise UnreachableError(
            f"adb finds no device {wanted}" if wanted else "adb finds no device",
            _PLUG_IN,
        )
    if len(found) > 1:
        listed = ", ".join(f"adb:{phone.serial} ({phone.state})" for phone in found)
        raise EdgenetError(
            f"{len(found)} devices are attached: {listed}",
            "name one of them, or use bench --all",
        )
    _check_usable(found[0])
    return found[0].serial


# What to do about a state of a phone, by the beginning of the adb server's words for it.
_STATE_REMEDIES = {
    "unauthorized": "unlock the phone and allow USB debugging for this computer in the dialog it shows",
    "offline": "unplug it and plug it in again, or run adb reconnect offline",
    "no permissions": (
        "this user may not use it; run sudo apt install android-sdk-platform-tools-common, then plug it in again"
    ),
}


def _check_usable(phone: Phone) -> None:
    if phone.state == "device":
        return
    remedy = next(
        (remedy for state, remedy in _STATE_REMEDIES.items() if phone.state.startswith(state)),
        "start Android on the phone",
    )
    raise UnreachableError(f"adb:{phone.serial} is {phone.state}", remedy)


def attached_phones() -> list[Phone]:
    """Return all attached phones, at least one.

    Raises:
        EdgenetError: no phone is attached, or see `phones`.
    """
    found = phones()
    if not found:
        raise UnreachableError("adb finds no device", _PLUG_IN)
    return found


_ANSWER_S = 3.0


def phones() -> list[Phone]:
    """Return all attached phones, in any state.

    Raises:
        EdgenetError: no adb server is running and none can be started, or the server does not answer.
    """
    from adbutils import AdbClient
    from adbutils.errors import AdbError

    host, port = server()
    _ensure_server(host, port)
    try:
        with AdbClient(host, port).make_connection(_ANSWER_S) as connection:
            connection.send_command("host:devices")
            connection.check_okay()
            listed = connection.read_string_block()
    except (AdbError, OSError, ValueError) as error:
        raise EdgenetError(
            f"the adb server does not answer: {error}", "run adb kill-server, then the same command again"
        ) from error
    return [Phone(*line.split("\t", 1)) for line in listed.splitlines() if "\t" in line]


def server() -> tuple[str, int]:
    """Return the host and port of the user's adb server, from the environment variables that adb reads.

    Raises:
        EdgenetError: the port is not a number.
    """
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS", "127.0.0.1")
    port = os.environ.get("ANDROID_ADB_SERVER_PORT", "5037")
    if not is_number(port):
        raise EdgenetError(f"ANDROID_ADB_SERVER_PORT is '{port}'", "set it to a port number")
    return host, int(port)


_START_S = 20.0


def _ensure_server(host: str, port: int) -> None:
    if _answers(host, port):
        return
    adb = shutil.which("adb")
    if adb is None:
        raise EdgenetError(
            "no adb server is running, and the adb program is not installed",
            "install adb (sudo apt install adb, or Android's platform-tools)",
        )
    try:
        done = subprocess.run([adb, "start-server"], capture_output=True, timeout=_START_S, check=False)
        said = done.stderr.decode(errors="replace").strip().splitlines()
    except subprocess.TimeoutExpired:
        said = []
    if not _answers(host, port):
        reason = said[-1] if said else "it does not answer"
        raise EdgenetError(f"the adb server does not start: {reason}", "run adb start-server to see why")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _ANSWER_S).close()
    except OSError:
        return False
    return True


class AdbConnection:
    """Reaches one phone: every service of its adb daemon (adbd) gets a connection of its own.

    Attributes:
        name: the target as the user gave it.
        serial: the phone's serial number.
        device: the phone as adbutils knows it.
    """

    def __init__(self, serial: str, name: str) -> None:
        from adbutils import AdbClient

        self.name = name
        self.serial = serial
        self.device = AdbClient(*server()).device(serial)

    @contextmanager
    def service(self, name: str) -> Iterator[socket.socket]:
        """Yield a stream to a service of adbd, such as "sync:".

        Raises:
            EdgenetError: the phone is disconnected, now or during the block.
        """
        with self.translating_errors(), self.device.open_transport(timeout=None) as transport:
            transport.send_command(name)
            transport.check_okay()
            # We send small messages and wait for answers; Nagle's algorithm would delay each by 40 ms.
            transport.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield transport.conn

    @contextmanager
    def translating_errors(self) -> Iterator[None]:
        """Turn connection errors into an EdgenetError that says whether the phone is still attached."""
        from adbutils.errors import AdbError

        try:
            yield
        except (AdbError, OSError, EOFError) as error:
            raise self._connection_error(error) from error

    def _connection_error(self, error: Exception) -> EdgenetError:
        state = {phone.serial: phone.state for phone in phones()}.get(self.serial)
        if state != "device":
            return UnreachableError(
                f"the connection to {self.name} is lost", "check the cable, then run the same command again"
            )
        return EdgenetError(f"adb on {self.name} failed: {error}", "run the same command again")


_CHUNK = 64 * 1024  # SYNC_DATA_MAX of adb's file sync protocol
_REGULAR_FILE = 0o100000


def send_file(
    stream: socket.socket, content: BinaryIO, path: str, mode: int, sent: Callable[[int], None]
) -> str:
    """Send a file over a "sync:" service; return the phone's reason for refusing the file, or "" if none.

    Args:
        stream: the service. It accepts one file after another until it refuses one or `end_files` is called.
        content: the file's bytes.
        path: absolute path on the phone.
        mode: the file's permission bits.
        sent: called after each chunk with the number of bytes in it.
    """
    destination = f"{path},{_REGULAR_FILE | mode}".encode()
    # A phone that refuses may stop reading while we still write; by then it has already sent its reason.
    with suppress(BrokenPipeError, ConnectionResetError):
        stream.sendall(b"SEND" + struct.pack("<I", len(destination)) + destination)
        while part := content.read(_CHUNK):
            stream.sendall(b"DATA" + struct.pack("<I", len(part)) + part)
            sent(len(part))
        stream.sendall(b"DONE" + struct.pack("<I", 0))
    kind, size = struct.unpack("<4sI", read_exactly(stream, 8))
    if kind == b"OKAY":
        return ""
    return read_exactly(stream, size).decode(errors="replace") or "no reason given"


def end_files(stream: socket.socket) -> None:
    """Tell a "sync:" service that no more files will follow."""
    stream.sendall(b"QUIT" + struct.pack("<I", 0))


def read_exactly(stream: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes from a stream.

    Raises:
        EOFError: the stream ended earlier.
    """
    parts = bytearray()
    while len(parts) < size:
        part = stream.recv(min(size - len(parts), _CHUNK))
        if not part:
            raise EOFError("the connection ended")
        parts += part
    return bytes(parts)
