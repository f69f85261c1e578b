"""The webhook, over real HTTPS: signed, kept on the disk while the receiver is away, and nothing doubled or lost."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from certificates import write_certificate
from edgenet_device.errors import EdgenetError
from edgenet_device.events import hub
from edgenet_device.events.disk_queue import DiskQueue
from edgenet_device.events.event import EventMaker, read_event
from edgenet_device.events.hub import EventHub
from edgenet_device.events.stored import tls_context
from edgenet_device.events.watcher import Happening
from edgenet_device.events.webhook import SIGNATURE, Webhook, WebhookSink, check_url

SECRET = b"a secret of the test"


@dataclass
class Receiver:
    """An HTTPS server that keeps what is posted, and answers with `status`."""

    authority: Path
    port: int = 0
    status: int = 204
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    server: http.server.ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/hook?key=1"

    def start(self) -> None:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status < 300:
                    receiver.bodies.append(body)
                    receiver.headers.append(dict(self.headers))
                self.send_response(receiver.status)
                self.send_header("Location", "https://127.0.0.1:9/elsewhere")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def sequences(self) -> list[int]:
        return [json.loads(body)["sequence"] for body in self.bodies]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    authority = tmp_path / "authority.pem"
    write_certificate(authority)
    made = Receiver(authority)
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PAUSES", (0.05,))


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_what_is_posted_is_signed_and_stays_on_the_disk_while_the_receiver_is_away(
    receiver: Receiver, tmp_path: Path
) -> None:
    maker, told = EventMaker("m", "0"), []
    hook = Webhook(receiver.url, SECRET, receiver.authority)

    def publish(to: EventHub, count: int) -> None:
        for _ in range(count):
            to.publish(maker.make(Happening("entered", "cat", 0.9), 1))

    with EventHub([WebhookSink(hook, DiskQueue(tmp_path / "q", 10**6))], lambda *one: told.append(one)) as to:
        publish(to, 3)
        wait_for(lambda: len(receiver.bodies) == 3)
        receiver.stop()
        publish(to, 5)
        wait_for(lambda: len(told) == 1)
        receiver.status = 503
        receiver.start()
        wait_for(lambda: len(told) == 2)
    # The program ends while the receiver still refuses; the next one sends the rest.
    assert receiver.sequences() == [1, 2, 3]
    receiver.status = 200
    with EventHub([WebhookSink(hook, DiskQueue(tmp_path / "q", 10**6))], lambda *one: told.append(one)) as to:
        publish(to, 2)
        wait_for(lambda: len(receiver.bodies) == 10)
    assert receiver.sequences() == list(range(1, 11))
    for body, headers in zip(receiver.bodies, receiver.headers, strict=True):
        assert headers[SIGNATURE] == "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        assert headers["X-Edgenet-Event-Id"] == read_event(body)["id"]
    assert [name for name, _ in told] == ["the webhook 127.0.0.1"] * 2
    assert "Connection refused; the events wait on the disk" in told[0][1]
    assert "it answered 503" in told[1][1]


def test_a_full_disk_does_not_keep_back_what_can_be_sent(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, maker = DiskQueue(tmp_path / "q", 10**6), EventMaker("m", "0")
    queue.append(maker.make(Happening("unknown"), 1).line().encode())
    sink = WebhookSink(Webhook(receiver.url, None, receiver.authority), queue)

    def full(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(queue, "append", full)
    sink.deliver(maker.make(Happening("unknown"), 1), None)
    assert receiver.sequences() == [1, 2]
    assert SIGNATURE not in receiver.headers[0]
    sink.close()


@pytest.mark.parametrize(
    ("status", "refused"), [(400, False), (401, True), (404, True), (302, True), (500, True)]
)
def test_only_an_event_that_is_itself_refused_is_passed_over(
    status: int, refused: bool, receiver: Receiver, tmp_path: Path
) -> None:
    queue = DiskQueue(tmp_path / "q", 10**6)
    sink = WebhookSink(Webhook(receiver.url, None, receiver.authority), queue)
    queue.append(EventMaker("m", "0").make(Happening("unknown"), 1).line().encode())
    receiver.status = status
    if refused:
        with pytest.raises(EdgenetError, match=f"it answered {status}"):
            sink.work()
    else:
        assert sink.work() is None
    assert (queue.first() is not None) is refused
    sink.close()


def test_a_certificate_that_is_not_trusted_is_told_and_gets_no_event(
    receiver: Receiver, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    write_certificate(other)
    for authority in (None, other):
        queue = DiskQueue(tmp_path / f"q{authority is None}", 10**6)
        sink = WebhookSink(Webhook(receiver.url, SECRET, authority), queue)
        queue.append(EventMaker("m", "0").make(Happening("unknown"), 1).line().encode())
        with pytest.raises(EdgenetError, match="its certificate is not trusted"):
            sink.work()
        sink.close()
    assert receiver.bodies == []


def test_a_clock_that_is_not_set_is_named_where_a_certificate_fails(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = WebhookSink(Webhook(receiver.url), DiskQueue(tmp_path / "q", 10**6))
    monkeypatch.setattr("edgenet_device.events.stored.time.time", lambda: 100.0)
    with pytest.raises(
        EdgenetError, match=r"its certificate is not trusted .*; this device's clock is not set"
    ):
        sink.send(EventMaker("m", "0").make(Happening("unknown"), 1).line().encode())
    sink.close()


@pytest.mark.parametrize(
    "url",
    ["", "ftp://h/x", "https://", "https://h:0/", "https://h:99999/", "https://h/\n", "https://h/ x", "h/x"],
)
def test_a_url_that_nothing_can_be_posted_to_is_told(url: str) -> None:
    with pytest.raises(EdgenetError, match="is not a URL to post to"):
        check_url(url)


def test_a_user_in_the_url_and_a_bad_authority_are_told(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="holds a user"):
        check_url("https://me:secret@host/")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path, message in ((empty, "it holds no certificate"), (tmp_path / "none", "No such file")):
        with pytest.raises(EdgenetError, match=message):
            tls_context("--webhook-ca", path)
