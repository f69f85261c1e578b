"""The server of the page: its files, who may read them, and the reports that it accepts."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgenet_device.web.address import Address, parse_address

from edgenet.errors import EdgenetError
from edgenet.web.server import LARGEST_REPORT, PageServer
from edgenet.web.site import PageOptions, Site, build_page


@pytest.fixture(scope="module")
def site(colours: Path) -> Site:
    return build_page(colours, PageOptions(), takes_reports=True)


@pytest.fixture
def server(site: Site) -> Iterator[PageServer]:
    with PageServer(site.files, parse_address("0")) as served:
        yield served


def ask(
    server: PageServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return result


def test_every_file_of_the_page_has_its_type_and_isolates_it(server: PageServer, site: Site) -> None:
    kinds = {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "txt": "text/plain",
        "wasm": "application/wasm",
        "svg": "image/svg+xml",
        "png": "image/png",
    }
    for name, data in site.files.items():
        status, headers, body = ask(server, f"/{name}", "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) == len(data)
        assert headers["content-type"].startswith(kinds.get(name.rpartition(".")[2], "application/"))
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert ask(server, "/")[2] == site.files["index.html"]


def test_only_the_pages_own_files_run_in_it(server: PageServer) -> None:
    policy = ask(server, "/")[1]["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy
    assert "'unsafe-eval'" not in policy


def test_nothing_else_is_served(server: PageServer) -> None:
    for path in (
        "/site.py",
        "/../site.py",
        "/litert/",
        "/litert-js.tar.xz",
        "//etc/passwd",
        "/%2e%2e/site.py",
    ):
        assert ask(server, path)[0] == 404


def test_another_sites_name_for_this_machine_is_refused(server: PageServer) -> None:
    assert ask(server, "/", Host="evil.example")[0] == 403
    assert ask(server, "/", Host=f"localhost:{server.address.port}")[0] == 200


def test_others_need_the_token_once(site: Site) -> None:
    with PageServer(site.files, Address("127.0.0.1", 0, "secret")) as server:
        assert ask(server, "/")[0] == 403
        assert ask(server, "/?token=wrong")[0] == 403
        assert ask(server, "/report", "POST", b"{}", Content_Type="application/json")[0] == 403
        status, headers, _ = ask(server, "/?token=secret")
        assert status == 200
        cookie = headers["set-cookie"].partition(";")[0]
        assert ask(server, "/page.js", Cookie=cookie)[0] == 200


def send_report(server: PageServer, body: bytes, path: str = "/report", **headers: str) -> int:
    """Send a report as the page does, except for the headers given here; return the status."""
    own = {
        "Content_Type": "application/json",
        "Origin": f"http://127.0.0.1:{server.address.port}",
        "X_Edgenet_Nonce": ask(server, "/nonce")[2].decode().strip(),
    }
    return ask(server, path, "POST", body, **{**own, **headers})[0]


def test_only_a_json_object_is_a_report(server: PageServer) -> None:
    assert send_report(server, b'{"threads": 1}', Content_Type="text/plain") == 415
    assert send_report(server, b"{") == 400
    assert send_report(server, b"[" * 100_000) == 400
    assert send_report(server, b"9" * 5000) == 400
    assert send_report(server, b'{"threads": 1%s}' % (b"0" * 400)) == 400
    assert send_report(server, b'{"threads": NaN}') == 400
    assert send_report(server, b"[]") == 400
    assert send_report(server, b"{}", path="/other") == 404
    assert send_report(server, b"{}", Content_Length=str(LARGEST_REPORT + 1)) == 413
    assert server.next_report(0) is None
    assert send_report(server, b'{"threads": 1}') == 200
    assert server.next_report(60) == {"threads": 1}


def test_only_the_servers_own_page_sends_reports(server: PageServer) -> None:
    port = server.address.port
    for origin in (
        "",
        "null",
        "http://evil.example",
        f"http://127.0.0.1:{port + 1}",
        f"http://localhost:{port}",
    ):
        assert send_report(server, b"{}", Origin=origin) == 403
    for nonce in ("", "guessed", "\xe9"):
        assert send_report(server, b"{}", X_Edgenet_Nonce=nonce) == 403
    assert ask(server, "/nonce", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert server.next_report(0) is None
    behind_a_proxy = {"Host": "localhost", "Origin": "https://localhost"}
    assert send_report(server, b"{}", **behind_a_proxy) == 200


def test_a_request_in_a_refused_body_is_never_read(server: PageServer) -> None:
    """What a page of another site can put on the wire: its body looks like a request of our own page."""
    report = b'{"samples_ns": [1000]}'
    host = f"Host: 127.0.0.1:{server.address.port}\r\n".encode()
    nonce = ask(server, "/nonce")[2].strip()
    hidden = (
        b"POST /report HTTP/1.1\r\nContent-Type: application/json\r\nX-Edgenet-Nonce: " + nonce + b"\r\n" + host
        + b"Origin: http://127.0.0.1:%d\r\nContent-Length: %d\r\n\r\n" % (server.address.port, len(report))
        + report
    )  # fmt: skip
    heads = {
        b"POST /report HTTP/1.1\r\nContent-Type: text/plain\r\nOrigin: http://evil.example\r\n": b"415",
        b"POST /other HTTP/1.1\r\n": b"404",
        b"GET / HTTP/1.1\r\n": b"413",
        b"DELETE / HTTP/1.1\r\n": b"405",
    }
    for head, status in heads.items():
        with socket.create_connection(("127.0.0.1", server.address.port), timeout=60) as link:
            link.sendall(head + host + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden)
            answers = link.makefile("rb").read()
        assert answers.startswith(b"HTTP/1.1 " + status)
        assert answers.count(b"HTTP/1.1 ") == 1
    assert server.next_report(0) is None


def test_an_address_that_is_taken_is_reported(server: PageServer, site: Site) -> None:
    with pytest.raises(EdgenetError, match="cannot serve at"):
        PageServer(site.files, Address("127.0.0.1", server.address.port, None))


def test_the_page_is_given_what_it_shows(site: Site) -> None:
    facts = json.loads(site.files["page.json"])
    assert facts["labels"] == ["red", "green", "blue"]
    assert facts["model"]["sha256"] == site.model.sha256
    assert facts["runtime"] == {"name": "litert.js", "version": "2.5.3"}
