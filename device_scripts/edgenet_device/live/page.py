"""The live page: the camera's picture and the network's labels for it, in any browser.

`/` is the page; `/picture` is an endless answer with the frames as JPEGs (multipart/x-mixed-replace); `/events` sends
the states as server-sent events; `/days` has the counts by day. `Correcting` answers the paths by which a
person corrects an answer. A browser that reads slowly misses frames and delays no other browser; a browser that stalls
is disconnected.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from edgenet_device.collecting.collector import QUALITY as KEPT_QUALITY
from edgenet_device.errors import EdgenetError
from edgenet_device.field.keeper import PhotoKeeper
from edgenet_device.foreign_text import json_text, read_json
from edgenet_device.live.field_output import FieldOutputs
from edgenet_device.web.address import Address
from edgenet_device.web.request import Answer, Request, plain_answer
from edgenet_device.web.server import Site, WebServer

PAGE = Path(__file__).with_name("page.html")
QUALITY = 80
MOST_PICTURES = 240
"""Pictures per second that all browsers get together: with many of them, each gets fewer, and the camera's own
loop keeps its CPU time."""
_BOUNDARY = "frame"
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
BODIES = {"/freeze": 64, "/correct": 2048}
"""The paths that take a POST of JSON, with the largest body in bytes."""
MOST_FROZEN = 4
"""At most so many frozen pictures wait in memory; the oldest are dropped."""
_ID = re.compile(r"[0-9a-f]{16}")
State = dict[str, Any]


class LivePage:
    """The server; use it as a context manager and call `show` for every frame.

    Args:
        address: where to serve.
        field: what the page shows of the counts by day, and what keeps the photos that a person corrects.

    Attributes:
        address: the address where it listens, with the actual port.

    Raises:
        EdgenetError: the address is in use or does not belong to this machine.
    """

    def __init__(self, address: Address, field: FieldOutputs | None = None) -> None:
        self._field = field or FieldOutputs()
        keeper = self._field.keeper
        self._correcting = None if keeper is None else Correcting(keeper, self._shown)
        self._changed = threading.Condition()
        self._number = 0
        self._state: dict[str, Any] = {}
        self._frame: np.ndarray | None = None
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._viewers = 0
        self._encoding = threading.Lock()
        self._open = True
        self._page = PAGE.read_bytes()
        headers = {"Content-Security-Policy": page_policy(self._page.decode()), **_SECURITY}
        bodies = {} if self._correcting is None else BODIES
        self._server = WebServer(
            address, Site(self._answer, headers, bodies, remedy="give another --serve HOST:PORT")
        )
        self.address = self._server.address

    def __enter__(self) -> LivePage:
        self._server.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._server.__exit__()

    def show(self, state: dict[str, Any], pixels: np.ndarray | None) -> None:
        """Show a frame to every connected browser.

        Args:
            state: the frame's state in JSON's types.
            pixels: uint8 BGR [H,W,3], copied only while a browser shows pictures; None where only the state
                is new.

        Raises:
            EdgenetError: the server has failed.
        """
        self._server.check()
        with self._changed:
            self._number += 1
            self._state = state
            if pixels is not None and self._viewers:
                self._frame = pixels.copy()
            self._changed.notify_all()

    def state(self) -> dict[str, Any]:
        """Return the state that was shown last."""
        with self._changed:
            return self._state

    def _shown(self) -> tuple[dict[str, Any], np.ndarray | None]:
        """Return the state and the picture that were shown last."""
        with self._changed:
            return self._state, self._frame

    def _answer(self, request: Request) -> Answer:
        answers: dict[str, Callable[[], Answer]] = {
            "/": lambda: Answer(200, self._page, "text/html; charset=utf-8"),
            "/picture": lambda: Answer(
                200, self._pictures(), f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
            ),
            "/events": lambda: Answer(200, self._events(), "text/event-stream"),
            "/days": self._days,
        }
        if self._correcting is not None:
            answers.update(self._correcting.answers(request))
        found = answers.get(request.path)
        return plain_answer(404, "there is nothing here") if found is None else found()

    def _days(self) -> Answer:
        counts = self._field.counts
        told = {"correcting": self._correcting is not None, **({} if counts is None else counts.summary())}
        return Answer(200, json_text(told).encode(), "application/json")

    def _pictures(self) -> Iterator[bytes]:
        self._count_viewers(1)
        try:
            yield f"--{_BOUNDARY}\r\n".encode()
            number: int | None = 0
            while (number := self._wait(number)) is not None:
                jpeg = self._latest_jpeg()
                if jpeg is not None:
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    # The next boundary follows at once: Chromium shows a picture only after it has seen its
                    # end.
                    yield head.encode() + jpeg + f"\r\n--{_BOUNDARY}\r\n".encode()
                time.sleep(self._viewers / MOST_PICTURES)
        finally:
            self._count_viewers(-1)

    def _events(self) -> Iterator[bytes]:
        """Yield the states, at most ten per second: eyes need no more, and it spares a phone's battery."""
        number: int | None = 0
        while (number := self._wait(number)) is not None:
            yield f"data: {json_text(self.state())}\n\n".encode()
            time.sleep(0.1)

    def _wait(self, number: int | None) -> int | None:
        """Wait for a frame whose number differs from `number` and return that; None when the page closes."""
        with self._changed:
            while self._open and self._number == number:
                self._changed.wait(1.0)
            return self._number if self._open else None

    def _latest_jpeg(self) -> bytes | None:
        """Return the latest picture as JPEG, encoded once for all browsers; None before there is one."""
        with self._encoding:
            with self._changed:
                number, frame = self._number, self._frame
            if frame is None:
                return None
            if self._jpeg[0] != number:
                _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
                self._jpeg = (number, data.tobytes())
            return self._jpeg[1]

    def _count_viewers(self, browsers: int) -> None:
        """Count one browser more (1) or fewer (-1) that receives pictures."""
        with self._changed:
            self._viewers += browsers


def page_policy(html: str) -> str:
    """Return the Content-Security-Policy of a page: only its own style and script run, named by their hashes."""

    def hashes(tag: str) -> str:
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"

    return (
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; style-src {hashes('style')}; script-src {hashes('script')}"
    )


class Correcting:
    """Answers what a person does about a wrong answer: keep the picture, and say what it shows.

    `POST freeze` keeps the present picture in memory, because the camera goes on while the person thinks; `GET
    frozen?ID` is that picture; `POST correct` says what it shows, and `GET labels` lists the model's classes. The web
    server has checked the address's token, the Origin and the nonce before these are asked.

    Args:
        keeper: keeps the photos.
        current: returns the state and the picture, uint8 BGR [H,W,3], that the page shows now; None
            before there is one.
    """

    def __init__(self, keeper: PhotoKeeper, current: Callable[[], tuple[State, np.ndarray | None]]) -> None:
        self._keeper, self._current = keeper, current
        self._frozen: OrderedDict[str, tuple[bytes, State]] = OrderedDict()
        self._changing = threading.Lock()

    def answers(self, request: Request) -> dict[str, Callable[[], Answer]]:
        """Return what answers each path, for this request."""
        if request.method == "POST":
            return {"/freeze": self.freeze, "/correct": lambda: self.correct(request.body)}
        return {"/labels": self._labels, "/frozen": lambda: self._picture(request.query)}

    def _labels(self) -> Answer:
        return _json_answer({"labels": list(self._keeper.labels)})

    def freeze(self) -> Answer:
        """Keep the present picture in memory; answer with its id and what the network says of it."""
        state, frame = self._current()
        if frame is None or "top" not in state:
            return plain_answer(409, "there is no picture yet")
        encoded, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, KEPT_QUALITY])
        if not encoded:
            return plain_answer(500, "the picture cannot be encoded")
        name = secrets.token_hex(8)
        with self._changing:
            self._frozen[name] = (data.tobytes(), state)
            while len(self._frozen) > MOST_FROZEN:
                self._frozen.popitem(last=False)
        return _json_answer({"id": name, "label": state["label"], "top": state["top"]})

    def _picture(self, query: str) -> Answer:
        with self._changing:
            found = self._frozen.get(query)
        return (
            plain_answer(404, "this picture is gone")
            if found is None
            else Answer(200, found[0], "image/jpeg")
        )

    def correct(self, body: bytes) -> Answer:
        """Keep a frozen picture for good, with what the body says that it shows."""
        try:
            given = read_json(body, BODIES["/correct"])
            name, said = given["id"], given["said"]
            if not isinstance(said, str) or not isinstance(name, str) or not _ID.fullmatch(name):
                raise ValueError("it holds no id and no label")
        except (ValueError, TypeError, KeyError):
            return plain_answer(400, "send the picture's id and what it shows")
        with self._changing:
            found = self._frozen.pop(name, None)
        if found is None:
            return plain_answer(410, "this picture is gone; take another one")
        try:
            self._keeper.keep_marked(*found, said)
        except EdgenetError as error:
            with self._changing:  # so that the person can try again
                self._frozen[name] = found
            return plain_answer(422, str(error))
        return plain_answer(200, f"kept as {said}")


def _json_answer(value: Any) -> Answer:
    return Answer(200, json_text(value).encode(), "application/json")
