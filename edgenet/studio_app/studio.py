"""What all routes of the studio share: its folder, its events, its jobs, and how an answer or an error is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from edgenet_device.foreign_text import json_text, one_line, read_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from edgenet.errors import EdgenetError
from edgenet.studio_app.events import Events
from edgenet.studio_app.jobs import Jobs
from edgenet.studio_app.looks import Looks
from edgenet.studio_app.places import Places, StorageError


@dataclass(frozen=True)
class Studio:
    """The studio of one folder.

    Attributes:
        places: its folders.
        events: what is sent to every open page.
        jobs: the child processes.
        looks: thumbnails and marks of the photos.
        train_options: options that every teaching gets, such as ("--pretrained", "small.safetensors").
    """

    places: Places
    events: Events
    jobs: Jobs
    looks: Looks
    train_options: tuple[str, ...] = ()

    def changed(self) -> None:
        """Tell every page that photos, runs or bundles have changed."""
        self.events.publish("folder", {})


def json_answer(value: Any, status: int = 200) -> Response:
    """Return an answer with a JSON value."""
    return Response(json_text(value), status, media_type="application/json")


def refused(error: EdgenetError, status: int | None = None) -> Response:
    """Return the answer for something that could not be done: {"found": ..., "remedy": ...}.

    Its status is 409 unless one is given, and 507 if the folder cannot be written: then other requests fail as well.
    """
    said = {"found": one_line(error.found, 600), "remedy": one_line(error.remedy or "", 600)}
    return json_answer(said, status or (507 if isinstance(error, StorageError) else 409))


def storage_error(error: OSError) -> StorageError:
    """Return what the page says of an error of the operating system in the studio's folder."""
    said = error.strerror or type(error).__name__
    found = f"{error.filename}: {said}" if error.filename else f"the folder cannot be used: {said}"
    return StorageError(
        found, "check that the folder is there, that it may be written and that its disk has room"
    )


REQUEST_ID = "x-request-id"
"""The header by which a request that the page sends again is known. Browsers drop requests, those to their own machine
too, when a network comes or goes (ERR_NETWORK_CHANGED); whether the server has got them, the page cannot tell."""
ANSWERS_KEPT = 100


def answers(work: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Any]:
    """Make a route of a function from a request's values to a JSON value; the function runs in a thread.

    The values are those of the query (texts), and of a POST's JSON object. An `EdgenetError`, a value of the wrong type
    (KeyError, TypeError, ValueError) or an `OSError` becomes an answer with a status of 409, 400 or 507.

    A POST that comes again under the same REQUEST_ID gets the answer of the first one, whose work is not done twice.
    """

    async def answer(request: Request) -> Response:
        values: dict[str, Any] = dict(request.query_params)
        try:
            if request.method == "POST":
                body = read_json(await request.body())
                if not isinstance(body, dict):
                    raise TypeError("it is not an object")
                values |= body
            return json_answer(await run_in_threadpool(work, values))
        except EdgenetError as error:
            return refused(error)
        except OSError as error:
            return refused(storage_error(error))
        except (KeyError, TypeError, ValueError) as error:
            reason = one_line(str(error), 200)
            return refused(
                EdgenetError(f"the page sent something else than expected ({reason})", "load it again"), 400
            )

    @wraps(work)
    async def route(request: Request) -> Response:
        own = request.headers.get(REQUEST_ID, "")
        if request.method != "POST" or not own:
            return await answer(request)
        name = f"{request.url.path} {own}"
        known: dict[str, asyncio.Task[Response]] = request.app.state.answered
        if name not in known or known[name].cancelled() or (known[name].done() and known[name].exception()):
            known[name] = asyncio.create_task(answer(request))
            for oldest in [*known][:-ANSWERS_KEPT]:
                del known[oldest]
        return await asyncio.shield(known[name])

    return route


def text(values: dict[str, Any], name: str) -> str:
    """Return a text among the values of a request.

    Raises:
        KeyError, TypeError: it is missing, or is no text.
    """
    value = values[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a text")
    return value


def whole(values: dict[str, Any], name: str) -> int:
    """Return a whole number of at least 0 among the values of a request.

    Raises:
        KeyError, TypeError: it is missing, or is no such number.
    """
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"{name} is not a whole number")
    return value
