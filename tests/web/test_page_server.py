"""The server of the page: its files, who may read them, and the reports that it accepts."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgenet_device.live.page import Address, parse_address

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
    connection = http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return result


def test_every_file_of_the_page_has_its_type_and_isolates_it(server: PageServer, site: Site) -> None:
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "wasm": "application/wasm"}
    for name, data in site.files.items():
        status, headers, body = ask(server, f"/{name}", "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) == len(data)
        assert headers["content-type"].startswith(kinds.get(name.rpartition(".")[2], "application/"))
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert ask(server, "/")[2] == site.files["index.html"]


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


def test_only_a_json_object_is_a_report(server: PageServer) -> None:
    assert ask(server, "/report", "POST", b'{"threads": 1}', Content_Type="text/plain")[0] == 415
    assert ask(server, "/report", "POST", b"{", Content_Type="application/json")[0] == 400
    assert ask(server, "/report", "POST", b"[]", Content_Type="application/json")[0] == 400
    assert ask(server, "/other", "POST", b"{}", Content_Type="application/json")[0] == 404
    long = {"Content_Type": "application/json", "Content_Length": str(LARGEST_REPORT + 1)}
    assert ask(server, "/report", "POST", b"{}", **long)[0] == 413
    assert server.reports.empty()
    assert ask(server, "/report", "POST", b'{"threads": 1}', Content_Type="application/json")[0] == 200
    assert server.reports.get(timeout=5) == {"threads": 1}


def test_an_address_that_is_taken_is_reported(server: PageServer, site: Site) -> None:
    with pytest.raises(EdgenetError, match="cannot serve at"):
        PageServer(site.files, Address("127.0.0.1", server.address.port, None))


def test_the_page_is_given_what_it_shows(site: Site) -> None:
    facts = json.loads(site.files["page.json"])
    assert facts["labels"] == ["red", "green", "blue"]
    assert facts["model"]["sha256"] == site.model.sha256
    assert facts["runtime"] == {"name": "litert.js", "version": "2.5.3"}
