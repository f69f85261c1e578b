"""The studio's server: its page, the routes of its five steps, and how it starts and stops."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from importlib import resources
from pathlib import PurePosixPath

import uvicorn
from edgenet_device.web.address import Address
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.studio_app import collect_routes, deploy_routes, teaching, try_routes
from edgenet.studio_app.events import FolderWatch
from edgenet.studio_app.guard import Guard
from edgenet.studio_app.studio import Studio, answers, refused
from edgenet.web.site import app_files

_ASSETS = resources.files("edgenet.studio_app").joinpath("assets")
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
STEPS = (collect_routes, teaching, try_routes, deploy_routes)
"""The modules of the five steps. Each has `routes(studio)`, and `state(studio)` with what its steps show at once."""


def build_app(studio: Studio, address: Address) -> Guard:
    """Return the server's application."""
    cameras = collect_routes.OtherCameras(studio, address)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with FolderWatch(studio.places, studio.changed), ExitStack() as open_parts:
            open_parts.callback(studio.jobs.close)
            open_parts.callback(studio.looks.close)
            open_parts.callback(cameras.close)
            with suppress(EdgenetError):  # the page says why when the user starts it
                teaching.resume(studio)
            yield

    def state(values: dict[str, object]) -> dict[str, object]:
        trouble = studio.places.trouble()
        found: dict[str, object] = {"folder": str(studio.places.root), "trouble": str(trouble or "")}
        for step in STEPS:
            found |= step.state(studio)
        return found

    async def events(request: Request) -> Response:
        def first() -> list[tuple[str, object]]:
            return [("job", job.as_json()) for job in studio.jobs.latest()]

        return StreamingResponse(studio.events.follow(first), media_type="text/event-stream")

    routes = [Route("/api/state", answers(state)), Route("/api/events", events)]
    for step in STEPS:
        routes += step.routes(studio)
    routes += [*cameras.routes(), *_app_routes(), Route("/{name:path}", _asset)]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={Exception: _fault})
    app.state.answered = {}
    return Guard(app, address)  # outermost, so that also the answer to a fault has its headers


def _app_routes() -> list[Route]:
    """Return the routes of the files with which a browser installs the studio as an app: the manifest and the icons."""
    files = app_files("edgenet studio", "Teach a classifier with your own photos, on this machine.")

    async def answer(request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        return Response(files[name], media_type=_TYPES[PurePosixPath(name).suffix])

    return [Route(f"/{name}", answer) for name in files]


async def _fault(request: Request, error: Exception) -> Response:
    """Answer with one line for a fault of the server's own; nothing is printed, and it goes on."""
    said = f"this is a fault of edgenet itself ({type(error).__name__}: {error})"
    return refused(EdgenetError(said, "load the page again; if it comes back, report it"), 500)


async def _asset(request: Request) -> Response:
    """Answer with a file of the page; browsers keep it until its checksum changes."""
    name = request.path_params["name"] or "index.html"
    kind = _TYPES.get(PurePosixPath(name).suffix)
    known = {one.name for one in _ASSETS.iterdir()}
    if kind is None or name not in known:
        return PlainTextResponse("there is nothing here", 404)
    data = _ASSETS.joinpath(name).read_bytes()
    tag = f'"{sha256(data)[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(data, media_type=kind, headers={"ETag": tag})


def listen(address: Address) -> tuple[socket.socket, Address]:
    """Return a socket that listens at the address, and the address with the actual port.

    Raises:
        EdgenetError: the address is in use, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    link = socket.socket(family, socket.SOCK_STREAM)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        link.bind((address.host, address.port))
    except OSError as error:
        link.close()
        raise EdgenetError(
            f"cannot serve at {address.host}:{address.port}: {error.strerror}",
            "give another --port or --host",
        ) from None
    return link, replace(address, port=link.getsockname()[1])


class _Server(uvicorn.Server):
    """Ends the events' connections before uvicorn waits for all connections to end."""

    def __init__(self, config: uvicorn.Config, studio: Studio, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._studio, self._started = studio, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._studio.events.close()
        await asyncio.sleep(0)
        await super().shutdown(sockets)


KEPT_OPEN_S = 330
"""How long a connection stays open between two requests, seconds: longer than browsers keep theirs, 300 s in Chromium.
What is asked on a connection that the server is just closing is lost, and a browser asks only for reading again."""


class StudioServer:
    """The server of one studio: `run` serves until a signal comes, `serving` within a block (for tests)."""

    def __init__(self, studio: Studio, address: Address, tls: tuple[str, str] | None = None) -> None:
        """Listen at the address.

        Args:
            tls: the files of the certificate and of its key; None serves by http.

        Raises:
            EdgenetError: the address cannot be used.
        """
        self._socket, self.address = listen(address)
        self._studio = studio
        certificate, key = tls or (None, None)
        self._config = uvicorn.Config(
            build_app(studio, self.address),
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=200,
            timeout_keep_alive=KEPT_OPEN_S,
            timeout_graceful_shutdown=3,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )

    def run(self, started: Callable[[], None]) -> None:
        """Serve until SIGINT or SIGTERM comes; `started` is called once requests are answered."""
        self._server = _Server(self._config, self._studio, started)
        self._server.run(sockets=[self._socket])
        if not self._server.started:
            raise EdgenetError("the studio's server did not start", "look at the folder and its permissions")

    def __enter__(self) -> StudioServer:
        """Serve in another thread until the block ends."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self.run, args=(ready.set,), daemon=True)
        self._thread.start()
        if not ready.wait(30):
            raise EdgenetError("the studio's server does not start", "try again")
        return self

    def __exit__(self, *reason: object) -> None:
        self._server.should_exit = True
        self._thread.join()
