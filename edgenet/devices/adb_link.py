"""The way to one phone: connections through the adb server, and what it means when they break."""

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
    """Connections to one phone, each for one service of its adbd.

    Args:
        serial: of the phone.
        name: the target as the user gave it.
    """

    def __init__(self, serial: str, name: str) -> None:
        from adbutils import AdbClient

        self.name = name
        self.serial = serial
        self.device = AdbClient(*server()).device(serial)

    @contextmanager
    def service(self, name: str) -> Iterator[socket.socket]:
        """A stream to a service of adbd, such as "sync:".

        Raises:
            EdgenetError: the phone is lost, now or within the block.
        """
        with self.watched(), self.device.open_transport(timeout=None) as connection:
            connection.send_command(name)
            connection.check_okay()
            # We send little and wait for an answer: with Nagle's algorithm each small message waits for an ACK, 40 ms.
            connection.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection.conn

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turns what breaks within the block into an EdgenetError that says whether the phone is still there."""
        from adbutils.errors import AdbError

        try:
            yield
        except (AdbError, OSError, EOFError) as error:
            raise self._judged(error) from error

    def _judged(self, error: Exception) -> EdgenetError:
        state = {phone.serial: phone.state for phone in phones()}.get(self.serial)
        if state != "device":
            return EdgenetError(
                f"the connection to {self.name} is lost", "see that the cable sits, then do the same again"
            )
        return EdgenetError(f"adb on {self.name} failed: {error}", "do the same again")


def read_exactly(stream: socket.socket, size: int) -> bytes:
    """So many bytes of a stream.

    Raises:
        EOFError: it ended before.
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
    """Sends a file over a "sync:" service; returns why the phone refused it, "" where it took it.

    Args:
        stream: the service; it takes file after file until it refuses one, or `end_files`.
        content: what to send.
        path: absolute path there.
        mode: its permissions.
        sent: told how many bytes went, after each part.
    """
    destination = f"{path},{_PLAIN_FILE | mode}".encode()
    # A phone that refuses may stop reading before we stop writing; it has said why by then.
    with suppress(BrokenPipeError, ConnectionResetError):
        stream.sendall(b"SEND" + struct.pack("<I", len(destination)) + destination)
        while part := content.read(_CHUNK):
            stream.sendall(b"DATA" + struct.pack("<I", len(part)) + part)
            sent(len(part))
        stream.sendall(b"DONE" + struct.pack("<I", 0))
    kind, size = struct.unpack("<4sI", read_exactly(stream, 8))
    if kind == b"OKAY":
        return ""
    return read_exactly(stream, size).decode(errors="replace") or "no reason told"


def end_files(stream: socket.socket) -> None:
    """Tells a "sync:" service that no more files come."""
    stream.sendall(b"QUIT" + struct.pack("<I", 0))
