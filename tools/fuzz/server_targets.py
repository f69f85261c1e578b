"""Targets that serve pages: bytes on a connection to the live page and to the page that takes latency reports."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from edgenet.errors import EdgenetError
from tools.fuzz.mutations import BINARY, TEXT, Mutation, json_changed
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target

_TOKEN, _NONCE, _HOST = b"@TOKEN@", b"@NONCE@", b"@HOST@"
"""In an input they stand for the server's own secrets and address, which change with every start."""
_WAIT_S = 5.0
_ENOUGH = 1 << 16
_LIVENESS = 200
"""After so many inputs a sound request must be answered."""


@cache
def request_seeds() -> dict[str, bytes]:
    """Return the requests that browsers send to the two pages, and the known ways to confuse servers."""
    head = b"Host: @HOST@\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n"
    post = (
        b"POST /report HTTP/1.1\r\nHost: @HOST@\r\nOrigin: http://@HOST@\r\n"
        b"Content-Type: application/json\r\nX-Edgenet-Nonce: @NONCE@\r\n"
    )
    body = b'{"threads": 4, "samples_ns": [1, 2]}'
    smuggled = b"POST /report HTTP/1.1\r\nHost: @HOST@\r\nContent-Length: 0\r\n\r\n"
    return {
        "page": b"GET /?token=@TOKEN@ HTTP/1.1\r\n" + head + b"\r\n",
        "cookie": b"GET /?x=1 HTTP/1.1\r\n" + head + b"Cookie: a=b; edgenet=@TOKEN@\r\n\r\n",
        "events": b"GET /events?token=@TOKEN@ HTTP/1.1\r\n" + head + b"\r\n",
        "picture": b"GET /picture?token=@TOKEN@ HTTP/1.1\r\n" + head + b"\r\n",
        "head": b"HEAD / HTTP/1.1\r\n" + head + b"Cookie: edgenet=@TOKEN@\r\n\r\n",
        "nonce": b"GET /nonce HTTP/1.1\r\n" + head + b"Sec-Fetch-Site: same-origin\r\n\r\n",
        "old": b"GET / HTTP/1.0\r\n\r\n",
        "report": post + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        "chunked": post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "both": post + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + smuggled,
        "two hosts": b"GET / HTTP/1.1\r\nHost: @HOST@\r\nHost: evil\r\n\r\n",
        "absolute": b"GET http://evil/ HTTP/1.1\r\nHost: @HOST@\r\n\r\n",
        "digits": post + "Content-Length: ٣\r\n\r\nabc".encode(),
        "two requests": b"GET /events HTTP/1.1\r\n" + head + b"\r\n" + smuggled,
        "upgrade": b"GET / HTTP/1.1\r\n" + head + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "other site": b"GET / HTTP/1.1\r\n"
        + head
        + b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n",
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
        "long": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + head + b"\r\n",
    }


def header_lines_changed(data: bytes, rng: random.Random) -> bytes:
    """Repeat, remove, swap or fold the lines of a request's head."""
    head, empty, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    place = rng.randrange(len(lines))
    way = rng.randrange(6)
    if way == 0:
        lines.insert(place, rng.choice(lines))
    elif way == 1 and len(lines) > 1:
        del lines[place]
    elif way == 2:
        lines[place] = b" " + lines[place]
    elif way == 3:
        lines[place] = lines[place].replace(b":", rng.choice((b" :", b"\t:", b":\0", b"")), 1)
    elif way == 4:
        lines.insert(
            place,
            rng.choice((b"Content-Length: ", b"Host: ", b"Cookie: ", b"X: "))
            + rng.choice(
                (
                    b"+5",
                    b"0x5",
                    b"5, 5",
                    b"-1",
                    b"9" * 30,
                    b"\xb2",
                    b"a" * 17_000,
                    b'$Version=1; edgenet="\\333"',
                    b"[::1]:80",
                )
            ),
        )
    else:
        lines = [line + rng.choice((b"", b"\r", b"\n")) for line in lines]
    return b"\r\n".join(lines) + empty + body


def body_changed(data: bytes, rng: random.Random) -> bytes:
    """Change the JSON of a POST, and state its new length."""
    head, empty, body = data.partition(b"\r\n\r\n")
    if not empty or not body:
        return header_lines_changed(data, rng)
    body = json_changed(body, rng)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + empty + body


def live_page(folder: Path) -> Check:
    """Serve the live page with a frame; every input is a connection to it."""
    from edgenet_device.live.page import LivePage
    from edgenet_device.web.address import Address

    page = LivePage(Address("127.0.0.1", 0, "the-token"))
    page.__enter__()
    page.show({"label": "cat", "fps": 10.0}, np.zeros((48, 64, 3), np.uint8))
    return _connecting(page.address.port, page._server.check, b"the-token", page._server.nonce.encode())


def report_page(folder: Path) -> Check:
    """Serve a page that takes reports; every input is a connection to it."""
    from edgenet_device.web.address import Address

    from edgenet.web.server import PageServer

    server = PageServer({"index.html": b"<p>", "model.tflite": b"x" * 70_000}, Address("127.0.0.1", 0, None))
    server.__enter__()

    def alive() -> None:
        while not server.reports.empty():
            server.reports.get()
        server._server.check()

    return _connecting(server.address.port, alive, b"", server._server.nonce.encode())


def _connecting(port: int, alive: Callable[[], None], token: bytes, nonce: bytes) -> Check:
    count = 0
    host = b"127.0.0.1:%d" % port

    def filled(data: bytes) -> bytes:
        return data.replace(_TOKEN, token).replace(_NONCE, nonce).replace(_HOST, host)

    def check(data: bytes) -> None:
        nonlocal count
        count += 1
        answer = _answer_to(filled(data), port)
        try:
            alive()
        except EdgenetError as error:
            raise AssertionError(f"the server has ended: {error}") from None
        if count % _LIVENESS == 1:
            sound = _answer_to(filled(request_seeds()["page"]), port)
            assert sound.startswith(b"HTTP/1.1 200 "), f"a sound request is answered with {sound[:60]!r}"
        status = answer[:13]
        assert not answer or status.startswith(b"HTTP/1.1 "), f"the answer is no HTTP: {answer[:60]!r}"
        assert not status.startswith(b"HTTP/1.1 5") or status[9:12] in (b"501", b"503"), (
            f"answered with {answer[:90]!r}"
        )
        assert answer.count(b"HTTP/1.1 ") <= 1, "two answers to one connection"
        if not answer.startswith(b"HTTP/1.1 2"):
            raise EdgenetError(f"answered with {status.decode('latin-1')}" if answer else "closed")

    return check


def _answer_to(data: bytes, port: int) -> bytes:
    """Send bytes and return the answer, of an endless one only the first part."""
    with socket.create_connection(("127.0.0.1", port), _WAIT_S) as link:
        link.settimeout(_WAIT_S)
        received = b""
        try:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            while len(received) < _ENOUGH and (part := link.recv(_ENOUGH)):
                received += part
                if b"multipart/" in received or b"text/event-stream" in received:
                    break
        except TimeoutError:
            raise AssertionError(f"no end of the answer within {_WAIT_S:g} s") from None
        except OSError:
            pass  # the server has closed the connection before all was sent
    return received


_HTTP: tuple[Mutation, ...] = (
    *TEXT,
    BINARY[0],
    header_lines_changed,
    header_lines_changed,
    header_lines_changed,
    body_changed,
)
_READS = ("edgenet_device.web.request", "edgenet_device.web.server", "edgenet_device.web.address")
TARGETS = (
    Target(
        "http-live",
        "the live page's server",
        (*_READS, "edgenet_device.live.page"),
        request_seeds,
        _HTTP,
        live_page,
        starts=True,
    ),
    Target(
        "http-report",
        "the report page's server",
        (*_READS, "edgenet.web.server"),
        request_seeds,
        (*_HTTP, body_changed),
        report_page,
        starts=True,
    ),
)
