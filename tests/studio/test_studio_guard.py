"""Who may use the studio's server: names, tokens, Origin, and the headers of every answer."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import pytest
from edgenet_device.web.address import Address
from studio_client import Client

from edgenet.studio_app.guard import self_signed
from edgenet.studio_app.server import KEPT_OPEN_S, StudioServer
from edgenet.workflows.studio import open_studio

JSON = "application/json"


def test_only_own_names_are_served(client: Client) -> None:
    assert client.ask("GET", "/")[0] == 200
    assert client.ask("GET", "/", Host="evil.example")[0] == 403
    assert client.ask("GET", "/api/state", Host="localhost")[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": JSON}, 403),
        ({"Content_Type": JSON, "Origin": "http://evil.example"}, 403),
        ({"Content_Type": JSON, "Origin": "null"}, 403),
        ({"Content_Type": "text/plain", "Origin": "own"}, 415),
        ({"Content_Type": "multipart/form-data", "Origin": "own"}, 415),
        ({"Content_Type": JSON, "Origin": "own", "Sec_Fetch_Site": "cross-site"}, 403),
        ({"Content_Type": JSON, "Origin": "own"}, 200),
    ],
)
def test_what_changes_something_comes_from_the_own_page(
    client: Client, headers: dict[str, str], status: int
) -> None:
    own = f"http://127.0.0.1:{client.port}"
    sent = {name: own if value == "own" else value for name, value in headers.items()}
    assert client.ask("POST", "/api/classes/add", b'{"label": "mug"}', **sent)[0] == status
    assert (client.photos / "mug").is_dir() == (status == 200)


@pytest.mark.parametrize("kind", [JSON, "application/octet-stream"])
def test_only_uploads_may_be_large(client: Client, kind: str) -> None:
    head = {"Content_Type": kind, "Origin": f"http://127.0.0.1:{client.port}", "Content_Length": str(1 << 40)}
    assert client.ask("POST", "/api/classes/add", b"", **head)[0] == 413


def test_other_sites_may_link_but_not_load(client: Client) -> None:
    assert client.ask("GET", "/main.js", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert client.ask("GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200


def test_every_answer_has_the_policy_also_a_refusal(client: Client) -> None:
    for path, host in (("/", ""), ("/api/state", ""), ("/nothing", ""), ("/", "evil.example")):
        _, headers, _ = client.ask("GET", path, Host=host)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_assets_are_served_by_name_only(client: Client) -> None:
    status, headers, body = client.ask("GET", "/main.js")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert body
    assert client.ask("GET", "/main.js", If_None_Match=headers["ETag"])[0] == 304
    for path in ("/../server.py", "/%2e%2e/server.py", "/assets/main.js", "/server.py", "//etc/passwd"):
        assert client.ask("GET", path)[0] == 404, path


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"label": 5}', b"{}", b'{"label": NaN}'])
def test_wrong_requests_are_refused_in_words(client: Client, body: bytes) -> None:
    status, answer = client.send("/api/classes/add", body)
    assert status == 400
    assert set(answer) == {"found", "remedy"}


def test_others_need_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    studio = open_studio(tmp_path / "things")
    with StudioServer(studio, Address("127.0.0.1", 0, "secret")) as server:
        client = Client(studio, server.address.port)
        for path in ("/", "/main.js", "/api/state", "/thumb?label=a&name=b.jpg", "/?token=wrong"):
            assert client.ask("GET", path)[0] == 403, path
        status, headers, _ = client.ask("GET", "/?token=secret", Host="any.name")
        assert status == 200
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert client.ask("GET", "/api/state", Cookie=cookie.partition(";")[0])[0] == 200
        body = json.dumps({"label": "mug"}).encode()
        assert (
            client.ask("POST", "/api/classes/add", body, Content_Type=JSON, Origin="http://any.name")[0]
            == 403
        )


def test_the_certificate_is_kept_and_private(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "192.168.1.5")
    first = Path(certificate).read_bytes()
    assert Path(key).stat().st_mode & 0o077 == 0
    self_signed(tmp_path, "192.168.1.5")
    assert Path(certificate).read_bytes() == first
    self_signed(tmp_path, "192.168.1.6")
    assert Path(certificate).read_bytes() != first
    Path(certificate).write_bytes(b"nonsense")
    self_signed(tmp_path, "192.168.1.6")
    assert Path(certificate).read_bytes().startswith(b"-----BEGIN CERTIFICATE")


def test_a_connection_without_requests_stays_open_for_longer_than_browsers_keep_it(client: Client) -> None:
    """Servers that close it after five seconds, as is usual, lose what is asked at that moment."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    for pause in (0, 7):
        time.sleep(pause)
        connection.request("GET", "/api/state")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    assert KEPT_OPEN_S > 300  # Chromium's limit
