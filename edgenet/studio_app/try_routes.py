"""The routes of the step Try: the classifier and LiteRT.js, for the page that runs it, and what a threshold costs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard
from urllib.parse import quote

from edgenet_device.foreign_text import read_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edgenet.errors import EdgenetError
from edgenet.files import read_limited, sha256
from edgenet.studio_app.studio import Studio, answers, refused, text
from edgenet.studio_app.teaching import LARGEST_REPORT, REPORT, run_names
from edgenet.web.site import litert_js, open_page_model, title_of

_STEPS = 100
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


def read_costs(path: Path) -> dict[str, Any] | None:
    """Return how many photos each threshold for "nothing I know" hides; None if no report of a run says it.

    Args:
        path: the report (`edgenet.training.v1`); none of it is trusted.

    Returns:
        `right` and `wrong` are lists of 101 counts: so many photos whose answer was right, or wrong, had a score below
        a threshold of 0, 1, ... 100 %. `judged` is the number of photos, and `errors` that of the wrong answers. `kept`
        is the percent of known photos that the classifier's own answer for unknown things leaves known, and
        `false_alarms` that of other photos that it calls known; both are None if it has no such answer.
    """
    try:
        report = read_json(read_limited(path, LARGEST_REPORT), LARGEST_REPORT)
    except (EdgenetError, OSError, ValueError):
        return None
    photos = report.get("photos") if isinstance(report, dict) else None
    if not isinstance(photos, list):
        return None
    scores: dict[bool, list[float]] = {True: [], False: []}
    for photo in photos:
        if not isinstance(photo, dict) or photo.get("answer") is None:
            continue  # a photo that nobody judged
        confidence = photo.get("confidence")
        if _is_number(confidence):
            scores[photo["answer"] == photo.get("class")].append(float(confidence))
    judged = len(scores[True]) + len(scores[False])
    if not judged:
        return None
    unknown = report.get("unknown")
    shares = unknown if isinstance(unknown, dict) else {}
    return {
        "judged": judged,
        "right": _hidden(scores[True]),
        "wrong": _hidden(scores[False]),
        "errors": len(scores[False]),
        **{name: _share(shares.get(name)) for name in ("kept", "false_alarms")},
    }


def _hidden(scores: list[float]) -> list[int]:
    return [sum(score < step / _STEPS for score in scores) for step in range(_STEPS + 1)]


def _share(value: Any) -> float | None:
    return float(value) if _is_number(value) and 0 <= value <= 100 else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
