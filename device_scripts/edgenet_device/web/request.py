"""Requests to our web server: the strict reading of their heads, and the form of our answers.

A request that two programs could read in two ways is refused (RFC 9112, section 11.2): such requests let one
request hide within the body of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

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
