"""Who is connected to our web server, how many there may be, and who makes room for a new connection."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from edgenet_device.web.request import LARGEST_HEAD, Request


@dataclass(frozen=True)
class Limits:
    """How much a web server takes.

    Attributes:
        connections: most connections at a time; each takes one of the process's file descriptors (often 1,024).
        per_address: most connections from one address at a time (IPv6: from one /64 network).
        streams: most endless answers at a time.
        large_bodies: most requests with a long body at a time.
        request_s: seconds for a request's head and body together.
        stalled_s: seconds for a browser to take one part of an answer.
    """

    connections: int = 192
    per_address: int = 96
    streams: int = 48
    large_bodies: int = 4
    request_s: float = 10.0
    stalled_s: float = 10.0


DEFAULT_LIMITS = Limits()


class Connection:
    """A connection, while its request is read (`answering` is false) and while it is answered.

    After a refusal it is `ending`: what still comes is thrown away.
    """

    def __init__(self, link: socket.socket, peer: str, deadline: float) -> None:
        self.link, self.peer, self.deadline = link, peer, deadline
        self.received = b""
        self.parts: list[bytes] = []
        self.request: Request | None = None
        self.missing = 0
        self.answering = self.ending = False

    @property
    def is_large(self) -> bool:
        """Whether a long body is being received."""
        return not self.answering and self.request is not None and (self.request.length or 0) > LARGEST_HEAD


class Connections:
    """The connections that are open now; its methods may be called in several threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._open: list[Connection] = []  # the oldest first

    def add(self, connection: Connection) -> None:
        """Add a new connection."""
        with self._lock:
            self._open.append(connection)

    def close(self, connection: Connection) -> None:
        """Close a connection and remove it."""
        with self._lock:
            self._open.remove(connection)
        connection.link.close()

    def unanswered(self) -> list[Connection]:
        """Return the connections that have not sent a complete request, the oldest first."""
        with self._lock:
            return [connection for connection in self._open if not connection.answering]

    def answered(self) -> list[Connection]:
        """Return the connections that are being answered."""
        with self._lock:
            return [connection for connection in self._open if connection.answering]

    def is_full_for(self, peer: str) -> bool:
        """Return whether a connection must be closed before one from this address is taken."""
        with self._lock:
            same = sum(connection.peer == peer for connection in self._open)
            return same >= self._limits.per_address or len(self._open) >= self._limits.connections

    def next_to_close(self, peer: str) -> Connection | None:
        """Return the connection that makes room for one from this address; None if none can be closed.

        It is the oldest without a complete request, from this address if that has its share already, else
        from the address that has the most of them: a crowd makes room for the others, not the others for it.
        """
        unanswered = self.unanswered()
        with self._lock:
            same = sum(connection.peer == peer for connection in self._open)
        if same < self._limits.per_address and unanswered:
            peer = Counter(connection.peer for connection in unanswered).most_common(1)[0][0]
        return next((connection for connection in unanswered if connection.peer == peer), None)


def peer_name(host: str) -> str:
    """Return what counts as one address: an IPv4 address, or an IPv6 network of 64 bits, which one home has."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
