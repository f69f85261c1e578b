"""The routes of the files with which a browser installs the studio as an app: the web app manifest and the icons."""

from __future__ import annotations

from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgenet.web.site import app_files

_TYPES = {".webmanifest": "application/manifest+json", ".svg": "image/svg+xml", ".png": "image/png"}


def routes() -> list[Route]:
    """Return the routes."""
    files = app_files("edgenet studio", "Teach a classifier with your own photos, on this machine.")

    async def answer(request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        return Response(files[name], media_type=_TYPES[PurePosixPath(name).suffix])

    return [Route(f"/{name}", answer) for name in files]
