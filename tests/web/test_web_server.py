"""The web server under every page: malformed, slow, silent and very many requests, and its own faults."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from edgenet_device.web import server as server_room
from edgenet_device.web.address import Address, parse_address
from edgenet_device.web.request import (
    Answer,
    Limits,
    RefusedRequest,
    Request,
    parse_head,
    peer_name,
    plain_answer,
    split_head,
)
from edgenet_device.web.server import Site, WebServer

from edgenet.errors import EdgenetError

HEAD = "GET / HTTP/1.1\r\nHost: localhost\r\n"


def answer(request: Request) -> Answer:
    if request.path == "/fault":
        raise ValueError("a fault of the site")
    if request.path == "/stream":
        return Answer(200, parts())
    return plain_answer(200, f"{request.method} {len(request.body)}")


def parts() -> Iterator[bytes]:
    while True:
        yield b"part\n"
        time.sleep(0.02)


@contextmanager
def serving(
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    respond: Callable[[Request], Answer] = answer,
) -> Iterator[WebServer]:
    with WebServer(
        parse_address("0"), Site(respond, {"X-Kept": "yes"}, {"/post": 1 << 20}), limits
    ) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with serving() as served:
        yield served


def connected(server: WebServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.address.port), timeout=30)


def exchange(server: WebServer, sent: bytes) -> bytes:
    """Send these bytes and return all that comes back until the server closes the connection."""
    with connected(server) as link:
        link.sendall(sent)
        return link.makefile("rb").read()


def status(server: WebServer, sent: str) -> int:
    answered = exchange(server, sent.encode("latin-1"))
    assert answered.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answered
    assert b"\r\nX-Kept: yes\r\n" in answered
    return int(answered.split()[1])


MALFORMED = {
    "both lengths": f"{HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": f"{HEAD}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list of lengths": f"{HEAD}Content-Length: 3, 3\r\n\r\nabc",
    "positive length": f"{HEAD}Content-Length: +3\r\n\r\nabc",
    "negative length": f"{HEAD}Content-Length: -3\r\n\r\nabc",
    "hexadecimal length": f"{HEAD}Content-Length: 0x3\r\n\r\nabc",
    "underscore in length": f"{HEAD}Content-Length: 1_0\r\n\r\nabc",
    "Arabic length": HEAD + "Content-Length: ٣\r\n\r\nabc".encode().decode("latin-1"),
    "superscript length": f"{HEAD}Content-Length: \xb2\r\n\r\nabc",
    "endless length": f"{HEAD}Content-Length: {'9' * 5000}\r\n\r\nabc",
    "empty length": f"{HEAD}Content-Length: \r\n\r\nabc",
    "two hosts": f"{HEAD}Host: localhost\r\n\r\n",
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "list of hosts": "GET / HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n",
    "user in host": "GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
    "absolute form": "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "authority form": "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "asterisk form": "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no version": "GET /\r\nHost: localhost\r\n\r\n",
    "version 2": "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "small method": "get / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces": "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "letters beyond ASCII": "GET /\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bare line feeds": "GET / HTTP/1.1\nHost: localhost\n\n",
    "one bare line feed": "GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare carriage return": f"{HEAD}X: a\rHost: evil\r\n\r\n",
    "folded header": f"{HEAD}X: a\r\n b\r\n\r\n",
    "space before the colon": f"{HEAD}Content-Length : 3\r\n\r\nabc",
    "no colon": f"{HEAD}nothing\r\n\r\n",
    "NUL": f"{HEAD}X: a\0b\r\n\r\n",
    "empty line first": f"\r\n{HEAD}\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused_and_the_connection_closes(server: WebServer, sent: str) -> None:
    assert status(server, sent) == 400


def test_a_damaged_head_is_read_strictly_or_refused() -> None:
    """Whatever the bytes are, they are a request with one host and a plain length, or refused; nothing else."""
    random = Random(0)
    own = f"{HEAD}Content-Length: 3\r\nCookie: edgenet=x\r\n\r\n".encode()
    pieces = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b":",
        b",",
        b"9" * 30,
        b"Host: evil\r\n",
        "٣".encode(),
        b"\xff",
    ]
    pieces += [b"Transfer-Encoding: chunked\r\n", b"Content-Length: 4\r\n", b"http://evil", b"\t", b"+", b"-"]
    read = 0
    for _ in range(20_000):
        damaged = bytearray(own)
        for _ in range(random.randint(1, 3)):
            place = random.randrange(len(damaged))
            damaged[place : place + random.randint(0, 3)] = random.choice(pieces)
        with suppress(RefusedRequest):  # any other exception is a fault
            split = split_head(bytes(damaged))
            if split is None:
                continue
            request = parse_head(split[0])
            read += 1
            assert split[0].lower().count(b"\r\nhost:") == 1
            assert "," not in request.header("host")
            stated = re.findall(rb"\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*(?=\r|$)", split[0].lower())
            assert stated == ([] if request.length is None else [request.header("content-length").encode()])
            assert request.length is None or str(request.length) == request.header("content-length").lstrip(
                "0"
            )
            assert b"\r\ntransfer-encoding:" not in split[0].lower()
            assert request.path.startswith("/")
            assert request.path.isascii()
    assert 500 < read < 20_000


def test_no_other_module_has_a_web_server_of_its_own() -> None:
    """What is hardened is hardened once."""
    root = Path(__file__).resolve().parents[2]
    for path in [*(root / "edgenet").rglob("*.py"), *(root / "device_scripts").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if path.parts[-2:] != ("web", "server.py") or "device_scripts" not in path.parts:
            assert not re.search(
                r"^\s*(from|import) (http\.server|socketserver|wsgiref)|\.listen\(", text, re.M
            ), path


def test_what_else_is_refused(server: WebServer) -> None:
    assert status(server, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n") == 501
    assert status(server, f"{HEAD}X: {'a' * 20_000}\r\n\r\n") == 431
    assert status(server, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n") == 403
    assert status(server, f"{HEAD}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n") == 403
    assert status(server, f"{HEAD}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\r\n") == 200
    assert status(server, "PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n") == 405


def test_a_connection_carries_one_request(server: WebServer) -> None:
    assert exchange(server, (HEAD + "\r\n").encode() * 3).count(b"HTTP/1.1 ") == 1


def test_a_request_that_comes_in_pieces_is_answered(server: WebServer) -> None:
    own = f"Host: localhost\r\nOrigin: http://localhost\r\nX-Edgenet-Nonce: {server.nonce}\r\n"
    sent = f"POST /post HTTP/1.1\r\n{own}Content-Type: application/json\r\nContent-Length: 5\r\n\r\n12345"
    with connected(server) as link:
        for letter in sent:
            link.sendall(letter.encode())
        assert link.makefile("rb").read().endswith(b"POST 5\n")


def test_head_has_the_length_and_no_body(server: WebServer) -> None:
    answered = exchange(server, HEAD.replace("GET", "HEAD").encode() + b"\r\n")
    assert b"Content-Length: 7\r\n" in answered
    assert answered.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX: ", HEAD.encode() + b"Content-Length: 9\r\n"])
def test_head_and_body_share_one_deadline(sent: bytes) -> None:
    with serving(Limits(request_s=1.0)) as server, connected(server) as slow:
        slow.sendall(sent)
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.2):
                try:
                    slow.sendall(b"a")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        if sent:
            thread.start()
        with suppress(ConnectionResetError):  # a byte was on its way while the server closed
            assert slow.recv(100) == b""  # closed, though each byte came in time
        stop.set()
        if sent:
            thread.join()


def test_the_oldest_unfinished_request_makes_room() -> None:
    with serving(Limits(connections=8, per_address=4)) as server, ExitStack() as links:
        slow = [links.enter_context(connected(server)) for _ in range(30)]
        for link in slow:
            with suppress(OSError):  # the server has closed it already
                link.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert status(server, f"{HEAD}\r\n") == 200
        closed = sum(is_closed(link) for link in slow)
        assert closed >= 26


def is_closed(link: socket.socket) -> bool:
    link.settimeout(0.2)
    try:
        return link.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_streams_leave_room_for_other_requests() -> None:
    with serving(Limits(streams=2)) as server, ExitStack() as links:
        for _ in range(2):
            link = links.enter_context(connected(server))
            link.sendall(HEAD.replace("/", "/stream", 1).encode() + b"\r\n")
            assert link.recv(10).startswith(b"HTTP/1.1 2")
        assert status(server, HEAD.replace("/", "/stream", 1) + "\r\n") == 503
        assert status(server, f"{HEAD}\r\n") == 200


def test_a_fault_of_a_site_is_answered_and_told_once(
    server: WebServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        assert status(server, HEAD.replace("/", "/fault", 1) + "\r\n") == 500
    assert status(server, f"{HEAD}\r\n") == 200
    assert capfd.readouterr().err.count("ValueError: a fault of the site") == 1
    server.check()


def test_a_fault_in_the_servers_thread_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise ZeroDivisionError("no peer")

    monkeypatch.setattr(server_room, "peer_name", broken)
    with serving() as server:
        server.check()
        with connected(server) as link:
            link.sendall(HEAD.encode())
        server._thread.join(30)
        with pytest.raises(EdgenetError, match=r"the web server failed unexpectedly \(ZeroDivisionError"):
            server.check()


FEW_DESCRIPTORS = """
import os, resource, socket, sys, time
sys.path.insert(0, sys.argv[1])
from edgenet_device.web.address import parse_address
from edgenet_device.web.request import plain_answer
from edgenet_device.web.server import Site, WebServer
with WebServer(parse_address("0"), Site(lambda request: plain_answer(200, "here"), {})) as server:
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
    print(server.address.port, flush=True)
    sys.stdin.read()
    server.check()
print("clean")
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no limit of descriptors to set")
def test_a_server_without_descriptors_answers_again(tmp_path: Path) -> None:
    scripts = Path(__file__).resolve().parents[2] / "device_scripts"
    command = [sys.executable, "-c", FEW_DESCRIPTORS, str(scripts)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with ExitStack() as links:
            for _ in range(60):
                links.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
                link.sendall(f"{HEAD}\r\n".encode())
                assert link.makefile("rb").read().endswith(b"here\n")
        process.stdin.close()
        assert process.stdout.read() == "clean\n"
    assert process.returncode == 0


def test_the_port_may_be_any_free_one() -> None:
    assert parse_address("0.0.0.0:0").port == parse_address("0").port == parse_address("[::1]:0").port == 0
    assert parse_address("127.0.0.1").port == 8080


def test_an_ipv6_network_counts_as_one_address() -> None:
    assert peer_name("2001:db8:1:2:3::4") == peer_name("2001:db8:1:2::9") != peer_name("2001:db8:1:3::9")
    assert peer_name("::ffff:192.0.2.1") == peer_name("192.0.2.1") == "192.0.2.1"
    assert peer_name("fe80::1%eth0") == peer_name("fe80::2%eth0")


@pytest.mark.parametrize("text", ["²", "٣", "9" * 5000, "65536", "localhost:9x", "[::1", "localhost:99999"])
def test_an_address_that_cannot_be_served_at_is_one_line(text: str) -> None:
    try:
        parsed = parse_address(text)
    except EdgenetError:
        return
    assert parsed.token is not None  # a host of that name, which then cannot be found
    with pytest.raises(EdgenetError, match="cannot serve at"):
        WebServer(Address(parsed.host, 0, None), Site(answer, {}))
