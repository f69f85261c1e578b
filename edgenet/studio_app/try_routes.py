"""The routes of the step Try: the classifier and LiteRT.js, for the page that runs it, and what a threshold costs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.studio_app.costs import read_costs
from edgenet.studio_app.studio import Studio, answers, refused, text
from edgenet.studio_app.teaching import REPORT, run_names
from edgenet.web.site import litert_js, open_page_model, title_of

_PAGE = resources.files("edgenet.web").joinpath("assets")
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".tflite": "application/octet-stream"}


def routes(studio: Studio) -> list[Route]:
    """Return the routes of this step."""

    def about(values: dict[str, Any]) -> Any:
        return _about(studio, text(values, "bundle"))

    def model(request: Request) -> bytes | None:
        return open_page_model(bundle_path(studio, request.query_params.get("bundle", "")))[0].data

    return [
        Route("/api/try", answers(about)),
        Route("/page/model.tflite", _file(model)),
        Route("/page/litert/{name}", _file(lambda request: litert_js().get(request.path_params["name"]))),
        Route("/page/{name}", _file(_page_module)),
    ]


def state(studio: Studio) -> dict[str, Any]:
    """Return the bundles that can be tried and deployed, the newest first."""
    return {"bundles": [{"name": path.stem, "version": _version(path)} for path in _bundles(studio)]}


def _bundles(studio: Studio) -> list[Path]:
    return sorted(studio.places.bundles.glob("*.edgenet"), reverse=True)


def _version(path: Path) -> str:
    try:
        return str(path.stat().st_mtime_ns)
    except OSError:  # it has just been replaced or moved
        return ""


def bundle_path(studio: Studio, name: str) -> Path:
    """Return the path of a bundle in the studio's folder.

    Raises:
        EdgenetError: there is no such bundle.
    """
    for path in _bundles(studio):  # only names that the folder lists are used as paths
        if path.stem == name:
            return path
    raise EdgenetError("there is no such classifier any more", "choose another one, or teach one")


def _about(studio: Studio, name: str) -> dict[str, Any]:
    """Return what the page needs to run a bundle and to show what it says."""
    model, labels = open_page_model(bundle_path(studio, name))
    return {
        "name": title_of(model),
        "labels": labels,
        "model": {"file": f"/page/model.tflite?bundle={quote(name)}", "sha256": model.sha256},
        "threads": None,
        "costs": _costs(studio, name),
    }


def _costs(studio: Studio, run: str) -> dict[str, Any] | None:
    """Return what a threshold costs on the photos that a run judged; None if the run has no such figures."""
    if run not in run_names(studio):
        return None
    return read_costs(studio.places.runs / run / REPORT)


def _page_module(request: Request) -> bytes | None:
    """Return a script of the camera page, which runs the network there in the same way."""
    name = request.path_params["name"]
    known = {one.name for one in _PAGE.iterdir() if one.name.endswith(".js")}
    return _PAGE.joinpath(name).read_bytes() if name in known else None


def _file(read: Callable[[Request], bytes | None]) -> Callable[[Request], Any]:
    """Make a route of a function that returns a file's contents, which browsers keep until its checksum changes."""

    def answer(request: Request) -> Response:
        try:
            data = read(request)
        except EdgenetError as error:
            return refused(error)
        if data is None:
            return PlainTextResponse("there is nothing here", 404)
        tag = f'"{sha256(data)[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        kind = _TYPES[PurePosixPath(request.url.path).suffix]
        return Response(data, media_type=kind, headers={"ETag": tag})

    async def route(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return route
