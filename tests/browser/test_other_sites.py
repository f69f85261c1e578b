"""What pages of other sites can do to our pages in a real Chromium: nothing."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from edgenet_device.live.page import LivePage
from edgenet_device.web.address import parse_address
from playwright.sync_api import Browser

from edgenet.web.server import PageServer

REPORT = {"samples_ns": [1000] * 60, "threads": 4, "device": {"browser": "forged"}}
# Every way in which a page may send a POST elsewhere without asking first, one whose body looks like a request of
# our own page, and one that asks first; then a form, which replaces the page.
ATTACK = """async ([url, host, report]) => {
    const own = `Host: ${host}\\r\\nOrigin: http://${host}\\r\\nContent-Type: application/json\\r\\n`;
    const hidden = `POST /report HTTP/1.1\\r\\n${own}Content-Length: ${report.length}\\r\\n\\r\\n${report}`;
    const json = { "Content-Type": "application/json" };
    let answered = 0;
    for (const ask of [
        () => fetch(url + "report", { method: "POST", mode: "no-cors", body: hidden }),
        () => fetch(url + "report", { method: "POST", mode: "no-cors", body: report }),
        () => fetch(url + "report", { method: "POST", mode: "no-cors", body: new Blob([report]) }),
        () => fetch(url + "report", { method: "POST", headers: json, body: report }),
        () => fetch(url + "nonce").then((answer) => answer.text()),
    ]) {
        try { await ask(); } catch { continue; }
        answered += 1;
    }
    navigator.sendBeacon(url + "report", report);
    return answered;
}"""
FORM = """([url, report]) => {
    const form = Object.assign(document.createElement("form"), { method: "POST", action: url + "report" });
    form.enctype = "text/plain";
    form.append(Object.assign(document.createElement("input"), { name: report, value: "" }));
    document.body.append(form);
    form.submit();
}"""
PICTURE = """(url) => new Promise((then) => {
    const image = new Image();
    image.onload = () => then("shown");
    image.onerror = () => then("refused");
    image.src = url + "picture";
})"""


class EvilSite(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body>evil")

    def log_message(self, *given: object) -> None:
        """Tests have an output of their own."""


@pytest.fixture
def evil() -> Iterator[str]:
    """The address of a page of another site: a browser counts another name as another site."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), EvilSite) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_no_other_site_can_send_a_report(evil: str, chromium: Browser) -> None:
    report = json.dumps(REPORT)
    with PageServer({"index.html": b"ours"}, parse_address("0")) as server:
        tab = chromium.new_page()
        tab.goto(evil)
        host = f"127.0.0.1:{server.address.port}"
        # Answers that the page cannot read, or errors; the nonce is refused.
        assert tab.evaluate(ATTACK, [server.address.url(), host, report]) <= 3
        with tab.expect_navigation():
            tab.evaluate(FORM, [server.address.url(), report])
        assert "other sites may not use this page" in tab.content()
        assert server.next_report(1) is None
        tab.context.close()


def test_no_other_site_can_show_the_camera(evil: str, chromium: Browser) -> None:
    stop = threading.Event()
    with LivePage(parse_address("0")) as page:

        def play() -> None:
            while not stop.wait(0.05):
                page.show({}, np.zeros((48, 64, 3), np.uint8))

        player = threading.Thread(target=play)
        player.start()
        tab = chromium.new_page()
        tab.goto(evil)
        assert tab.evaluate(PICTURE, page.address.url()) == "refused"
        tab.goto(page.address.url())  # its own page shows it
        assert tab.evaluate(PICTURE, page.address.url()) == "shown"
        stop.set()
        player.join()
        tab.context.close()
