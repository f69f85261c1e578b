"""The routes of the step Look: the report of a run."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgenet.errors import EdgenetError
from edgenet.files import read_limited
from edgenet.studio_app.studio import Studio, refused
from edgenet.studio_app.teaching import REPORT, run_folder

LARGEST_REPORT = 64 << 20


def routes(studio: Studio) -> list[Route]:
    """Return the routes of this step."""

    def read(run: str) -> Response:
        try:
            data = read_limited(run_folder(studio, run) / REPORT, LARGEST_REPORT)
        except EdgenetError as error:
            return refused(error)
        except OSError:
            return refused(EdgenetError("this run has no report", "let a teaching run to its end"), 404)
        return Response(data, media_type="application/json")

    async def report(request: Request) -> Response:
        return await run_in_threadpool(read, request.query_params.get("run", ""))

    return [Route("/api/report", report)]


def state(studio: Studio) -> dict[str, Any]:
    """Return what the step shows at once: nothing more than the runs, which Teach lists."""
    return {}
