"""Connections to our web server, and their requests: the strict reading of their heads, and the form of our answers.

A request that two programs could read in two ways is refused (RFC 9112, section 11.2): such requests let one
request hide within the body of another.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

LARGEST_HEAD = 16 << 10
"""Bytes of a request's head; browsers send about one thousand."""
_END = b"\r\n\r\n"
# Only the origin form, "/path?query", and only printable ASCII; a proxy's absolute form is refused.
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,4095}) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([\t -~\x80-\xff]*)")
_HOST = re.compile(r"[0-9A-Za-z._~:\[\]-]+")
_LENGTH = re.compile(r"[0-9]{1,12}")
# These decide what a request means and who sent it, so there must be one value at most.
_ONCE = {"host", "content-length", "transfer-encoding", "content-type", "origin", "cookie", "x-edgenet-nonce"}


class RefusedRequest(Exception):  # noqa: N818 (it is no fault of ours)
    """A request that is refused.

    Args:
        status: the HTTP status of the answer.
        reason: one line for the person or program that sent the request.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        path: the part of the target before the question mark, as it was sent.
        query: the part after the question mark.
        headers: the headers by their names in small letters.
        length: the length of the body in bytes, as the head states it; None where it states none.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    length: int | None = None
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header's value, empty where the request has no such header."""
        return self.headers.get(name, "")


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        body: all of it, or an endless stream of parts, which is closed when the browser goes away.
        kind: the media type.
    """

    status: int
    body: bytes | Iterator[bytes]
    kind: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def plain_answer(status: int, line: str) -> Answer:
    """Return an answer of one line of text."""
    return Answer(status, f"{line}\n".encode())


def split_head(received: bytes) -> tuple[bytes, bytes] | None:
    """Return a request's head and what was received after it; None while the head is incomplete.

    Raises:
        RefusedRequest: the head is too long, or the bytes can never become a request.
    """
    if received and not b"A" <= received[:1] <= b"Z":
        raise RefusedRequest(400, "this is not an HTTP request")
    head, found, rest = received.partition(_END)
    if len(head) > LARGEST_HEAD:
        raise RefusedRequest(431, f"a request's head may have {LARGEST_HEAD} bytes")
    if head.count(b"\n") != head.count(b"\r\n"):
        raise RefusedRequest(400, "the lines of a request's head must end with CR LF")
    return (head, rest) if found else None


def parse_head(head: bytes) -> Request:
    """Parse a request's head, without the empty line at its end.

    Raises:
        RefusedRequest: the head breaks a rule, or it could be read in two ways.
    """
    first, *lines = head.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise RefusedRequest(400, "the request line must be METHOD /path HTTP/1.1")
    headers = _headers(lines)
    if not _HOST.fullmatch(headers.get("host", "")) and (line[3] == b"1" or "host" in headers):
        raise RefusedRequest(400, "a request must name one host")
    path, _, query = line[2].decode("ascii").partition("?")
    return Request(line[1].decode("ascii"), path, query, headers, _length(headers))


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise RefusedRequest(400, "a header must be NAME: VALUE on one line")
        name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1").strip(" \t")
        if name in headers and name in _ONCE:
            raise RefusedRequest(400, f"the header {name} must not be repeated")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length")
    if "transfer-encoding" in headers:
        if text is not None:
            raise RefusedRequest(400, "a request must not have both Transfer-Encoding and Content-Length")
        raise RefusedRequest(501, "send the body with a Content-Length")
    if text is not None and not _LENGTH.fullmatch(text):
        raise RefusedRequest(400, "Content-Length must be one number of at most 12 digits")
    return None if text is None else int(text)


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
