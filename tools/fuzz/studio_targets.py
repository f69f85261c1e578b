"""Targets of the studio: what a browser sends to its server, and the files and lines that it reads itself."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgenet.errors import EdgenetError
from tools.fuzz.mutations import BINARY, TEXT, Mutation
from tools.fuzz.server_targets import body_changed
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target


@cache
def request_seeds() -> dict[str, bytes]:
    """Return the requests of the studio's page, as the target and the body of a POST or a GET."""
    jpeg = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("mug/1.jpg", jpeg)
    photo = {"label": "mug", "name": "1.jpg", "binned": False}
    move = {"moves": [{"from": photo, "to": photo | {"label": "key"}}]}

    def post(target: str, body: bytes) -> bytes:
        return f"POST {target}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    return {
        "upload": post("/api/photos/add?label=mug&name=1.jpg", jpeg),
        "zip": post("/api/photos/add?label=&name=some.zip", archive.getvalue()),
        "class": post("/api/classes/add", b'{"label": "key"}'),
        "rename": post("/api/classes/rename", b'{"label": "mug", "new_label": "cup"}'),
        "remove": post("/api/classes/remove", b'{"label": "mug"}'),
        "move": post("/api/photos/move", json.dumps(move).encode()),
        "bin": post("/api/bin/empty", b'{"count": 0}'),
        "photos": b"GET /api/photos?label=mug&binned=1\r\n\r\n",
        "thumbnail": b"GET /thumb?label=mug&name=1.jpg&large=1\r\n\r\n",
        "report": b"GET /api/report?run=20261130-041500\r\n\r\n",
    }


def requests(folder: Path) -> Check:
    """Send each input as a request to the routes of Collect and Look, over a class with one photo."""
    from edgenet_device.web.address import Address
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    from edgenet.studio_app import collect_routes, teaching
    from edgenet.studio_app.events import Events
    from edgenet.studio_app.guard import Guard
    from edgenet.studio_app.jobs import Jobs
    from edgenet.studio_app.looks import Looks
    from edgenet.studio_app.places import Places
    from edgenet.studio_app.studio import Studio

    places, events = Places.open(folder / "things"), Events()
    looks = Looks(places.root, lambda: None, folder / "cache")
    studio = Studio(places, events, Jobs(events), looks)
    run = places.runs / "20261130-041500"
    run.mkdir(parents=True)
    (run / "report.json").write_bytes(b"{}")
    routes = [
        *collect_routes.routes(studio),
        *(one for one in teaching.routes(studio) if one.path == "/api/report"),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, address=Address("127.0.0.1", 80, None))])
    jpeg = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()

    def check(data: bytes) -> None:
        (places.photos / "mug").mkdir(exist_ok=True)
        (places.photos / "mug" / "1.jpg").write_bytes(jpeg)
        status, body = asyncio.run(_answer(app, data))
        assert status < 500, f"answered with {status}"
        if status >= 400:
            raise EdgenetError(f"answered with {status}: {body[:200].decode('utf-8', 'replace')}")

    return check


async def _answer(app: Any, data: bytes) -> tuple[int, bytes]:
    """Return the status and the body with which the application answers a request."""
    head, _, body = data.partition(b"\r\n\r\n")
    method, _, target = head.partition(b"\r\n")[0].partition(b" ")
    path, _, query = target.partition(b"?")
    kind = b"application/octet-stream" if path.endswith(b"/photos/add") else b"application/json"
    headers = [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1"), (b"content-type", kind)]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST" if method == b"POST" else "GET",
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "headers": [*headers, (b"content-length", b"%d" % len(body))],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@cache
def line_seeds() -> dict[str, bytes]:
    """Return what commands write to standard error, and the file that says what a teaching shall do."""
    return {
        "stage": b'{"stage": "computing features", "done": 3, "total": 9}',
        "log": b'{"log": "first classifier after 3 s: 90.0 % of 10 photos right"}',
        "error": b"edgenet: no photos in x (it is empty); put JPEG or PNG files there",
        "wish": b"--minutes 10 --no-flip --no-finetune\n",
    }


def lines(folder: Path) -> Check:
    """Read the input as a line of a command, and as the file of a teaching."""
    from edgenet.studio_app.jobs import Job, _take_line
    from edgenet.studio_app.teaching import _read_wish

    def check(data: bytes) -> None:
        job = Job(1, "teach", {})
        line = _take_line(job, data.decode("utf-8", "replace"))
        assert (line + job.stage + job.error).isprintable()
        (folder / "teaching").write_bytes(data)
        wish = _read_wish(folder / "teaching")
        assert wish is None or set(wish.flags) <= {"--no-flip", "--no-finetune"}

    return check


_REQUEST: tuple[Mutation, ...] = (*TEXT, BINARY[0], body_changed, body_changed)
_ROOM = "edgenet.studio_app."
TARGETS = (
    Target(
        "studio",
        "the studio's server",
        tuple(_ROOM + name for name in ("studio", "incoming", "looks", "teaching")),
        request_seeds,
        _REQUEST,
        requests,
    ),
    Target(
        "studio-lines",
        "lines of the studio's commands, and what a teaching shall do",
        tuple(_ROOM + name for name in ("jobs", "teaching")),
        line_seeds,
        TEXT,
        lines,
        weight=0.3,
    ),
)
