"""A small web server that stays up: slow, silent, malformed and very many connections cannot end or block it.

One thread accepts the connections and reads every request with one deadline for its head and body; a complete
request is answered in a thread of its own. A connection carries one request and is then closed, so nothing that
follows a refused request is ever read as a request. When there are too many connections, those that have not sent
a complete request make room, the oldest first.
"""

from __future__ import annotations

import errno
import hmac
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Callable

from edgenet_device.errors import EdgenetError, WatchedThread
from edgenet_device.foreign_text import one_line, say
from edgenet_device.web.address import Address, cookie, is_for_us, may_enter
from edgenet_device.web.request import (
    DEFAULT_LIMITS,
    LARGEST_HEAD,
    Answer,
    Connection,
    Connections,
    Limits,
    RefusedRequest,
    Request,
    parse_head,
    peer_name,
    plain_answer,
    split_head,
)

NONCE = "nonce"
"""The path at which pages get the value of the header X-Edgenet-Nonce, which every POST must carry."""
_TICK_S = 0.5
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_S = 0.05
"""Pause after a connection could not be accepted, so that the thread does not keep a CPU busy."""
_GOODBYE_S = 2.0
"""After a refusal we still read for this long: closing at once would destroy the answer on its way (RST)."""
_PART = 256 << 10
_QUEUE = 2048
"""Connections that the system keeps until they are accepted (many systems allow 4,096). Beyond that it drops the first
packet of a new one, and the browser tries again after a second: a crowd that connects at once must fit."""
_STREAM_BUFFER = 256 << 10
"""Bytes that the system keeps for the reader of a stream; more would only be old pictures."""


@dataclass(frozen=True)
class Site:
    """What a web server serves.

    Attributes:
        answer: returns the answer to a GET, a HEAD or an accepted POST; it is called in several threads.
        headers: headers of every answer, such as the Content-Security-Policy.
        bodies: the paths that take a POST of JSON, with the largest body in bytes.
        remedy: what the user can do if the address cannot be used.
    """

    answer: Callable[[Request], Answer]
    headers: Mapping[str, str]
    bodies: Mapping[str, int] = field(default_factory=dict)
    remedy: str = "give another address to serve at"


class WebServer:
    """The server; use it as a context manager.

    Attributes:
        address: the address where it listens, with the actual port.
        nonce: the value of the header X-Edgenet-Nonce that a POST must carry.

    Raises:
        EdgenetError: the address is in use or does not belong to this machine.
    """

    def __init__(self, address: Address, site: Site, limits: Limits = DEFAULT_LIMITS) -> None:
        self._site, self._limits = site, limits
        self._listener = _listen(address, site.remedy)
        self.address = replace(address, port=self._listener.getsockname()[1])
        self.nonce = secrets.token_urlsafe(16)
        self._connections = Connections(limits)
        self._streams = threading.BoundedSemaphore(limits.streams)
        self._told: set[str] = set()
        self._waker, self._woken = socket.socketpair()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._thread = WatchedThread("the web server", self._run)

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stopping = True
        with suppress(OSError):
            self._waker.send(b"x")
        self._thread.join()
        self._selector.close()
        for end in (self._listener, self._waker, self._woken):
            end.close()
        for connection in self._connections.answered():
            with suppress(OSError):  # wakes the thread that answers it
                connection.link.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise an error if the server has failed.

        Raises:
            EdgenetError: the server's thread has ended; the message says why.
        """
        if not self._stopping:
            self._thread.check()

    # In the server's thread: accepting and reading ---------------------------------------------------------------

    def _run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, lambda: None)
        while not self._stopping:
            for key, _ in self._selector.select(_TICK_S):
                if isinstance(key.data, Connection):
                    self._read(key.data)
                else:
                    key.data()
            now = time.monotonic()
            for connection in self._connections.unanswered():
                if connection.deadline < now:
                    self._drop(connection)
        for connection in self._connections.unanswered():
            self._drop(connection)

    def _accept(self) -> None:
        for _ in range(self._limits.connections):
            try:
                link, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    for connection in self._connections.unanswered()[:1]:
                        self._drop(connection)
                    time.sleep(_PAUSE_S)
                    return
                continue  # the connection ended before it was accepted
            self._take(link, peer_name(peer[0]))

    def _take(self, link: socket.socket, peer: str) -> None:
        if self._connections.is_full_for(peer):
            victim = self._connections.next_to_close(peer)
            if victim is None:
                link.close()
                return
            self._drop(victim)
        connection = Connection(link, peer, time.monotonic() + self._limits.request_s)
        try:
            link.setblocking(False)
            self._selector.register(link, selectors.EVENT_READ, connection)
        except OSError:  # the system watches no more connections
            link.close()
            return
        self._connections.add(connection)
        # Mostly its request is here already; then no later connection can make it leave unanswered.
        self._read(connection)

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.link)
        self._connections.close(connection)

    def _read(self, connection: Connection) -> None:
        if connection.link.fileno() < 0:  # dropped since the selector returned
            return
        try:
            data = connection.link.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
        elif not connection.ending:
            try:
                self._receive(connection, data)
            except RefusedRequest as refused:
                self._refuse(connection, plain_answer(refused.status, str(refused)))
            except Exception as error:  # a fault in reading one request must not end the others
                self._tell(error)
                self._refuse(connection, plain_answer(500, "this is a fault of the server"))

    def _receive(self, connection: Connection, data: bytes) -> None:
        if connection.request is None:
            connection.received += data
            split = split_head(connection.received)
            if split is None:
                return
            head, data = split
            request = parse_head(head)
            self._check(request)
            if (request.length or 0) > LARGEST_HEAD and self._has_many_bodies():
                raise RefusedRequest(503, "too many others are sending reports; try again")
            connection.request, connection.missing = request, request.length or 0
        connection.parts.append(data[: connection.missing])
        connection.missing -= len(connection.parts[-1])
        if not connection.missing:
            self._hand_over(connection, replace(connection.request, body=b"".join(connection.parts)))

    def _has_many_bodies(self) -> bool:
        return (
            sum(connection.is_large for connection in self._connections.unanswered())
            >= self._limits.large_bodies
        )

    def _check(self, request: Request) -> None:
        """Refuse what need not be answered, before the body is read.

        Raises:
            RefusedRequest: always with the reason.
        """
        if not is_for_us(self.address, request.header("host")):
            raise RefusedRequest(403, "this page is not served under that name")
        if not may_enter(self.address.token, request.query, request.header("cookie")):
            raise RefusedRequest(403, "open the address with its token, which the program printed")
        if _is_from_another_site(request):
            raise RefusedRequest(403, "other sites may not use this page")
        if request.method == "POST":
            self._check_post(request)
        elif request.method not in ("GET", "HEAD"):
            raise RefusedRequest(405, "use GET")
        elif request.length:
            raise RefusedRequest(413, f"a {request.method} has no body")

    def _check_post(self, request: Request) -> None:
        if request.path not in self._site.bodies:
            raise RefusedRequest(404, "there is nothing here")
        # Pages of other sites cannot send JSON: browsers first ask this server for permission, and get none.
        if request.header("content-type").partition(";")[0].strip().lower() != "application/json":
            raise RefusedRequest(415, "send JSON")
        # Behind a proxy for https the page's own origin differs from our address only in its scheme.
        own = {f"{scheme}://{request.header('host')}".lower() for scheme in ("http", "https")}
        if request.header("origin").lower() not in own:
            raise RefusedRequest(403, "only this server's own page may send this")
        if not hmac.compare_digest(request.header("x-edgenet-nonce").encode(), self.nonce.encode()):
            raise RefusedRequest(403, "this page is older than the server; load it again")
        if request.length is None:
            raise RefusedRequest(411, "send a Content-Length")
        if request.length > self._site.bodies[request.path]:
            raise RefusedRequest(413, f"send at most {self._site.bodies[request.path]} bytes")

    def _refuse(self, connection: Connection, answer: Answer) -> None:
        assert isinstance(answer.body, bytes)
        with suppress(OSError):  # a fresh connection takes these few bytes at once, or its browser is gone
            connection.link.send(self._head(answer) + answer.body)
            connection.link.shutdown(socket.SHUT_WR)
        connection.ending, connection.received, connection.parts = True, b"", []
        connection.request = None
        connection.deadline = time.monotonic() + _GOODBYE_S

    def _hand_over(self, connection: Connection, request: Request) -> None:
        """Answer a request in a thread of its own."""
        connection.parts, connection.received = [], b""
        connection.answering = True
        self._selector.unregister(connection.link)
        try:
            connection.link.settimeout(self._limits.stalled_s)
            threading.Thread(target=self._answer, args=(connection, request), daemon=True).start()
        except (OSError, RuntimeError):  # the browser is gone, or the system allows no more threads
            self._connections.close(connection)

    # In a request's thread: answering ----------------------------------------------------------------------------

    def _answer(self, connection: Connection, request: Request) -> None:
        try:
            answer = self._found_answer(request)
            if isinstance(answer.body, bytes):
                self._send(connection.link, request, answer)
            elif self._streams.acquire(blocking=False):
                try:
                    connection.link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _STREAM_BUFFER)
                    self._send(connection.link, request, answer)
                finally:
                    self._streams.release()
            else:
                self._send(
                    connection.link, request, plain_answer(503, "too many browsers are connected already")
                )
        except OSError:  # the browser is gone, or it stalled
            pass
        except Exception as error:
            self._tell(error)
        finally:
            self._connections.close(connection)

    def _found_answer(self, request: Request) -> Answer:
        if self._site.bodies and request.path == f"/{NONCE}":
            return plain_answer(200, self.nonce)
        try:
            return self._site.answer(request)
        except Exception as error:
            self._tell(error)
            return plain_answer(500, "this is a fault of the server")

    def _send(self, link: socket.socket, request: Request, answer: Answer) -> None:
        headers = {}
        token = self.address.token
        if token is not None and answer.status == 200 and request.query:
            # The page requests its other parts without the token in their URLs.
            headers["Set-Cookie"] = cookie(token)
        link.sendall(self._head(answer, headers))
        if request.method == "HEAD":
            return
        if isinstance(answer.body, bytes):
            for start in range(0, len(answer.body), _PART):
                link.sendall(answer.body[start : start + _PART])
            return
        try:
            for part in answer.body:
                link.sendall(part)
        finally:
            _close(answer.body)

    def _head(self, answer: Answer, more: Mapping[str, str] | None = None) -> bytes:
        headers = {**self._site.headers, "Content-Type": answer.kind, **answer.headers, **(more or {})}
        if isinstance(answer.body, bytes):
            headers["Content-Length"] = str(len(answer.body))
        headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _tell(self, error: Exception) -> None:
        """Report a fault of ours once, on stderr: whoever sends requests must not fill the journal."""
        line = f"a request failed unexpectedly ({type(error).__name__}: {error!s:.200})"
        if type(error).__name__ not in self._told:
            self._told.add(type(error).__name__)
            say(f"error: {one_line(line, 300)}; report this fault", sys.stderr)


def _listen(address: Address, remedy: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(_QUEUE)
    except OSError as error:
        listener.close()
        raise EdgenetError(
            f"cannot serve at {address.host}:{address.port}: {error.strerror or error}", remedy
        ) from None
    listener.setblocking(False)
    return listener


def _is_from_another_site(request: Request) -> bool:
    """Return whether a page of another site sent the request; a link to our page may stand anywhere."""
    elsewhere = request.header("sec-fetch-site") in ("cross-site", "same-site")
    return elsewhere and (request.header("sec-fetch-mode") != "navigate" or request.method != "GET")


def _close(body: Iterator[bytes]) -> None:
    close: Any = getattr(body, "close", None)
    if close is not None:
        close()
