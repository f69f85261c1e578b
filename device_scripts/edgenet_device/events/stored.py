"""What the sinks that send over a network share: events wait on the disk until the receiver has accepted them."""

from __future__ import annotations

import hashlib
import ssl
import time
from pathlib import Path

from edgenet_device.errors import EdgenetError
from edgenet_device.events.disk_queue import DiskQueue
from edgenet_device.events.event import CLOCK_SET_FROM, Event
from edgenet_device.events.hub import Picture, Sink
from edgenet_device.foreign_text import one_line
from edgenet_device.output_files import state_folder

_BATCH = 32
"""Stored events that are sent before new ones are stored."""
_LONGEST_SECRET = 4096


class StoredSink(Sink):
    """Stores every event in a queue on the disk and sends it from there: at least once, in order.

    A subclass says how one event is sent.

    Args:
        queue: the queue, which the sink closes.
    """

    def __init__(self, queue: DiskQueue) -> None:
        self._queue = queue
        self._told_lost = 0

    def send(self, line: bytes) -> None:
        """Send one event and return when the receiver has accepted it.

        Args:
            line: the event as JSON.
        """
        raise NotImplementedError

    def deliver(self, event: Event, picture: Picture) -> None:
        """Store an event; if the disk is full, send it at once, after all that is stored."""
        line = event.line().encode()
        try:
            self._queue.append(line)
        except OSError:
            while self.work() == 0.0:
                pass
            self.send(line)

    def work(self) -> float | None:
        """Send what is stored.

        Raises:
            EdgenetError: events were lost, see `DiskQueue.lost`; or sending failed.
        """
        for _ in range(_BATCH):
            line = self._queue.first()
            if line is None:
                self._tell_lost()
                return None
            self.send(line)
            self._queue.drop_first()
        return 0.0

    def close(self) -> None:
        """Let another program use the queue."""
        self._queue.close()

    def _tell_lost(self) -> None:
        lost, self._told_lost = self._queue.lost - self._told_lost, self._queue.lost
        if lost:
            raise EdgenetError(
                f"{lost} events are lost: they took more than the queue may hold, or could not be read",
                "give a larger --queue-size",
            )


def opened_queue(folder: Path | None, kind: str, receiver: str, budget_bytes: int) -> DiskQueue:
    """Return the queue of one receiver, in a folder of its own.

    Args:
        folder: the folder of all queues; None for the service's own ($STATE_DIRECTORY, see systemd.exec(5)), or
            ~/.local/state/edgenet.
        kind: the sink's kind, such as "webhook".
        receiver: whom it sends to; only a hash of it becomes part of the folder's name.

    Raises:
        EdgenetError: see `DiskQueue`.
    """
    place = folder or state_folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(f"cannot make {place}: {error.strerror}", "give --queue FOLDER") from None
    name = hashlib.sha256(receiver.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return DiskQueue(place / f"{kind}-{name}", budget_bytes)


def read_secret(option: str, path: Path) -> bytes:
    """Return what a file of secrets holds, without the line break at its end.

    Raises:
        EdgenetError: it cannot be read, is empty or is longer than 4,096 bytes.
    """
    try:
        with open(path, "rb") as file:
            secret = file.read(_LONGEST_SECRET + 1)
    except OSError as error:
        raise EdgenetError(
            f"{option}: cannot read {path}: {error.strerror}", "give a file that you may read"
        ) from None
    secret = secret.rstrip(b"\r\n")
    if not secret or len(secret) > _LONGEST_SECRET:
        raise EdgenetError(
            f"{option}: {path} is empty or longer than 4,096 bytes", "put the secret there, alone"
        )
    return secret


def read_login(option: str, path: Path) -> tuple[str, str]:
    """Return the user and the password, the two lines of a file.

    Raises:
        EdgenetError: the file cannot be read, or does not hold two lines of text.
    """
    try:
        lines = read_secret(option, path).decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 2 or not lines[0]:
        raise EdgenetError(
            f"{option}: {path} does not hold two lines", "put the user there, and below the password"
        )
    return lines[0], lines[1]


def tls_context(option: str, authority: Path | None) -> ssl.SSLContext:
    """Return what checks a server's certificate.

    Raises:
        EdgenetError: the authority's file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=None if authority is None else str(authority))
    except (OSError, ssl.SSLError) as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise EdgenetError(
            f"{option}: cannot use {authority}: {reason}", "give the PEM file of the authority's certificate"
        ) from None


def network_reason(error: Exception) -> str:
    """Return why a network cannot be used, as a part of a sentence."""
    inner = getattr(error, "reason", error)  # urllib wraps the error; that of ssl has a text here
    inner = inner if isinstance(inner, Exception) else error
    if isinstance(inner, ssl.SSLCertVerificationError):
        unset = "; this device's clock is not set" if time.time() < CLOCK_SET_FROM else ""
        return f"its certificate is not trusted ({inner.verify_message}{unset})"
    return one_line(getattr(inner, "strerror", None) or str(inner) or type(inner).__name__)
