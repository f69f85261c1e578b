"""The step Collect: classes, their photos, uploads, moving, the bin, and cameras that are not this machine's.

A phone on the cable reaches the page through adb, under its own address 127.0.0.1, where browsers allow the camera. A
phone in the network opens the https address, which it reads from a QR code. A Pi's photos are taken by
`edgenet capture --on ssh:...`, in a child process.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import segno
from edgenet_device.web.address import Address
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edgenet.devices.device import Adb, Ssh
from edgenet.devices.targets import read_target
from edgenet.errors import EdgenetError
from edgenet.studio_app.guard import UPLOAD, reachable_host
from edgenet.studio_app.incoming import Taken, check_size, take_file
from edgenet.studio_app.looks import Look, large_jpeg, repeated
from edgenet.studio_app.moving import Move, Moved, empty_bin, move_photos, remove_class, rename_class
from edgenet.studio_app.places import PhotoName, scratch_file
from edgenet.studio_app.studio import Studio, answers, json_answer, refused, storage_error, text, whole
from edgenet.web.viewers import open_target_browser

MOST_MOVES = 20_000
_SAMPLE = 8
"""So many photos are on a class's card."""
CAPTURE = "capture"
"""The kind of the job that takes a Pi's photos."""
_MOST_PHOTOS, _EVERY_S = "200", "1"


def routes(studio: Studio) -> list[Route]:
    """Return the routes of this step."""
    places = studio.places

    def photos(values: dict[str, Any]) -> Any:
        return listing(studio, text(values, "label"), values.get("binned") == "1")

    def add_class(values: dict[str, Any]) -> Any:
        places.new_class(text(values, "label").strip())
        return _changed(studio, {})

    def rename(values: dict[str, Any]) -> Any:
        rename_class(places, text(values, "label"), text(values, "new_label").strip())
        return _changed(studio, {})

    def remove(values: dict[str, Any]) -> Any:
        return _changed(studio, moved_json(remove_class(places, text(values, "label"))))

    def move(values: dict[str, Any]) -> Any:
        given = values["moves"]
        if not isinstance(given, list) or len(given) > MOST_MOVES:
            raise TypeError("moves is not a list")
        moves = [Move(_photo(one["from"]), _photo(one["to"])) for one in given]
        return _changed(studio, moved_json(move_photos(places, moves)))

    def empty(values: dict[str, Any]) -> Any:
        return _changed(studio, {"deleted": empty_bin(places, whole(values, "count"))})

    async def upload(request: Request) -> Response:
        return await _upload(studio, request)

    async def picture(request: Request) -> Response:
        return await run_in_threadpool(_picture, studio, dict(request.query_params))

    return [
        Route("/api/photos", answers(photos)),
        Route(UPLOAD, upload, methods=["POST"]),
        Route("/api/photos/move", answers(move), methods=["POST"]),
        Route("/api/classes/add", answers(add_class), methods=["POST"]),
        Route("/api/classes/rename", answers(rename), methods=["POST"]),
        Route("/api/classes/remove", answers(remove), methods=["POST"]),
        Route("/api/bin/empty", answers(empty), methods=["POST"]),
        Route("/thumb", picture),
    ]


def state(studio: Studio) -> dict[str, Any]:
    """Return the classes with the numbers of their photos, and the classes in the bin."""
    places = studio.places
    return {
        "classes": [_class_json(studio, label) for label in places.labels()],
        "bin": [
            {"label": label, "photos": count}
            for label in places.labels(binned=True)
            if (count := len(places.names(label, binned=True)))
        ],
    }


def _class_json(studio: Studio, label: str) -> dict[str, Any]:
    names = studio.places.names(label)
    return {"label": label, "photos": len(names), "sample": [{"name": name} for name in names[-_SAMPLE:]]}


def listing(studio: Studio, label: str, binned: bool) -> dict[str, Any]:
    """Return the photos of a class with their marks; `measured` says whether all are measured by now."""
    home = studio.places.class_folder(label, binned)
    names, looks, stamps = [], [], []
    for name in studio.places.names(label, binned):
        try:
            stat = (home / name).stat()
        except OSError:  # it has just been moved
            continue
        names.append(name)
        stamps.append(stat.st_mtime_ns)
        looks.append(studio.looks.of(home / name, stat.st_size, stat.st_mtime_ns))
    repeats = repeated(looks)
    return {
        "label": label,
        "photos": [
            {"name": name, "version": str(stamp), "marks": _marks(look, repeat)}
            for name, stamp, look, repeat in zip(names, stamps, looks, repeats, strict=True)
        ],
        "measured": all(look is not None for look in looks),
    }


def _marks(look: Look | None, repeat: bool) -> list[str]:
    if look is None:
        return []
    if look.sharpness is None:
        return ["unreadable"]
    return [mark for mark, found in (("blurred", look.blurred), ("repeated", repeat)) if found]


def _photo(value: Any) -> PhotoName:
    return PhotoName(text(value, "label"), text(value, "name"), value.get("binned") is True)


def photo_json(photo: PhotoName) -> dict[str, Any]:
    """Return a photo's name as the page knows it."""
    return {"label": photo.label, "name": photo.name, "binned": photo.binned}


def moved_json(moved: Moved) -> dict[str, Any]:
    """Return what the page needs to undo moves, and to say which failed."""
    return {
        "moves": [{"from": photo_json(one.source), "to": photo_json(one.target)} for one in moved.done],
        "failed": [{"name": name, "reason": reason} for name, reason in moved.failed],
    }


def _changed(studio: Studio, answer: dict[str, Any]) -> dict[str, Any]:
    studio.changed()
    return answer


async def _upload(studio: Studio, request: Request) -> Response:
    """Write the body of a request into a hidden file, and keep what is in it."""
    file: Path | None = None
    try:
        label, name = request.query_params.get("label", ""), request.query_params.get("name", "photo.jpg")
        size = int(request.headers["content-length"])  # the guard has checked that it is a number
        check_size(studio.places, name, size)
        file = scratch_file(studio.places.root)
        with file.open("wb") as out:
            async for part in request.stream():
                await run_in_threadpool(out.write, part)
        taken = await run_in_threadpool(take_file, studio.places, studio.looks, label, name, file)
        studio.changed()
        return json_answer(_taken_json(taken))
    except EdgenetError as error:
        return refused(error)
    except ClientDisconnect:
        return refused(EdgenetError("the file did not come to its end", "send it again"))
    except OSError as error:
        return refused(storage_error(error))
    finally:
        if file is not None:
            with suppress(OSError):  # it is gone with its folder
                file.unlink(missing_ok=True)


def _taken_json(taken: Taken) -> dict[str, Any]:
    return {
        "added": [{"label": label, "name": name} for label, name in taken.added],
        "there": [{"label": label, "name": name} for label, name in taken.there],
        "refused": [{"name": name, "reason": reason} for name, reason in taken.refused],
    }


def _picture(studio: Studio, query: dict[str, str]) -> Response:
    """Answer with a photo's thumbnail, or with the photo itself as large as a screen; always a JPEG."""
    try:
        photo = PhotoName(query.get("label", ""), query.get("name", ""), query.get("binned") == "1")
        path = studio.places.path(photo)
        data = large_jpeg(path) if query.get("large") == "1" else studio.looks.thumbnail(path)
    except (EdgenetError, OSError):
        return PlainTextResponse("there is no such photo, or it cannot be read", 404)
    keep = "private, max-age=31536000, immutable" if query.get("v") else "no-cache"
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": keep})


def page_url(address: Address) -> str:
    """Return the address to open, as other machines know it if they may; with a token it is served by https."""
    url = replace(address, host=reachable_host(address.host)).url()
    return url if address.token is None else url.replace("http:", "https:", 1)


class OtherCameras:
    """What the page offers beside this machine's camera; `close` ends the connections to phones."""

    def __init__(self, studio: Studio, address: Address) -> None:
        self._studio, self._address = studio, address
        self._phones = ExitStack()
        self._opened: set[str] = set()

    def close(self) -> None:
        """End the connections through which phones reach the page."""
        self._phones.close()

    def routes(self) -> list[Route]:
        """Return the routes of the other cameras."""
        return [
            Route("/api/cameras/network", answers(self._network)),
            Route("/api/cameras/phone", answers(self._open_phone), methods=["POST"]),
            Route("/api/cameras/pi", answers(self._start_pi), methods=["POST"]),
            Route("/api/cameras/pi/stop", answers(self._stop_pi), methods=["POST"]),
        ]

    def _network(self, values: dict[str, Any]) -> Any:
        """Return the address for a phone in the network and its QR code, row by row; nulls if only this machine may."""
        if self._address.token is None:
            return {"url": None, "code": None}
        url = page_url(self._address)
        rows = ["".join("1" if dark else "0" for dark in row) for row in segno.make(url, micro=False).matrix]
        return {"url": url, "code": rows}

    def _open_phone(self, values: dict[str, Any]) -> Any:
        on = text(values, "on")
        if not isinstance(read_target(on), Adb):
            raise EdgenetError(f"{on[:80]} is not a phone", "give adb or adb:SERIAL")
        if self._address.token is not None:
            raise EdgenetError(
                "this studio is served to the network by https", "let the phone read the QR code"
            )
        if on not in self._opened:  # the connection of an earlier click still holds
            viewer = self._phones.enter_context(open_target_browser(on))
            viewer.open_page(self._address.url())
            self._opened.add(on)
        return {}

    def _start_pi(self, values: dict[str, Any]) -> Any:
        label, on = text(values, "label"), text(values, "on")
        if not isinstance(read_target(on), Ssh):
            raise EdgenetError(f"{on[:80]} is not a device that is reached over ssh", "give ssh:USER@HOST")
        self._studio.places.class_folder(label)
        options = ["--data", str(self._studio.places.photos), "--on", on]
        arguments = [CAPTURE, *options, "--every", _EVERY_S, "--count", _MOST_PHOTOS, "--", label]
        return self._studio.jobs.start(CAPTURE, arguments, {"label": label, "on": on}).as_json()

    def _stop_pi(self, values: dict[str, Any]) -> Any:
        self._studio.jobs.stop(CAPTURE)
        return {}
