"""The routes of the step Try: the classifier itself, for the page that runs it."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from edgenet.studio_app.studio import Studio


def routes(studio: Studio) -> list[Route]:
    """Return the routes of this step."""
    return []


def state(studio: Studio) -> dict[str, Any]:
    """Return what the step shows at once."""
    return {}
