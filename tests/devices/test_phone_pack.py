"""The Debian packages of a phone's pack: each mirror is tried, and what came is kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgenet.devices import phone_pack
from edgenet.errors import EdgenetError

CONTENT = b"a package of Debian's" * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Mirrors(BaseHTTPRequestHandler):
    """Three mirrors: `sound` sends the whole file, `broken` ends the connection early, `other` sends another file."""

    def do_GET(self) -> None:
        whole = CONTENT.upper() if self.path.startswith("/other/") else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole[:50] if self.path.startswith("/broken/") else whole)

    def log_message(self, *given: object) -> None:
        """Tests have an output of their own."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirrors) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def use(monkeypatch: pytest.MonkeyPatch, *mirrors: str) -> None:
    monkeypatch.setattr(phone_pack, "_mirrors", lambda: list(mirrors))


def test_a_mirror_that_fails_is_left_for_the_next_one(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"{address}/broken", f"{address}/other", f"{address}/sound")
    assert phone_pack._package("pool/one.deb", DIGEST) == CONTENT
    use(monkeypatch)  # from now on no mirror is needed
    assert phone_pack._package("pool/one.deb", DIGEST) == CONTENT


def test_if_all_mirrors_fail_that_is_one_line(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, "http://127.0.0.1:1", f"{address}/broken")
    with pytest.raises(EdgenetError, match=r"cannot download Debian's one\.deb: IncompleteRead"):
        phone_pack._package("pool/one.deb", DIGEST)
    assert list(tmp_path.iterdir()) == []
