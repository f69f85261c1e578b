"""Connections to one phone through the adb server, and the errors raised when they break."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from edgenet.devices.adb_phones import phones, server
from edgenet.errors import EdgenetError

_CHUNK = 64 * 1024  # SYNC_DATA_MAX of adb's file sync protocol
_PLAIN_FILE = 0o100000


class AdbLink:
    """Opens connections to one phone, each for one service of its adb daemon (adbd).

    Args:
        serial: the phone's serial number.
        name: the target as the user gave it.
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
        with self.watched(), self.device.open_transport(timeout=None) as connection:
            connection.send_command(name)
            connection.check_okay()
            # We send small messages and wait for answers; Nagle's algorithm would delay each by 40 ms.
            connection.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection.conn

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turn connection errors into an EdgenetError that says whether the phone is still attached."""
        from adbutils.errors import AdbError

        try:
            yield
        except (AdbError, OSError, EOFError) as error:
            raise self._judged(error) from error

    def _judged(self, error: Exception) -> EdgenetError:
        state = {phone.serial: phone.state for phone in phones()}.get(self.serial)
        if state != "device":
            return EdgenetError(
                f"the connection to {self.name} is lost", "check the cable, then run the same command again"
            )
        return EdgenetError(f"adb on {self.name} failed: {error}", "run the same command again")


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
    destination = f"{path},{_PLAIN_FILE | mode}".encode()
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
