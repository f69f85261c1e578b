"""The routes of the step Teach: start a teaching, stop it; what it does meanwhile comes as events."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from edgenet.studio_app import teaching
from edgenet.studio_app.studio import Studio, answers


def routes(studio: Studio) -> list[Route]:
    """Return the routes of this step."""

    def start(values: dict[str, Any]) -> Any:
        return teaching.start(studio, teaching.Wish.of(values["minutes"], values["flags"])).as_json()

    def stop(values: dict[str, Any]) -> Any:
        studio.jobs.stop(teaching.TEACH)
        return {}

    return [
        Route("/api/teach", answers(start), methods=["POST"]),
        Route("/api/teach/stop", answers(stop), methods=["POST"]),
    ]


def state(studio: Studio) -> dict[str, Any]:
    """Return the runs, the newest first, and the latest job of each kind."""
    return {
        "runs": teaching.runs_json(studio),
        "jobs": {job.kind: job.as_json() for job in studio.jobs.latest()},
    }
