"""What a person does on the live page about a wrong answer: keep the picture, and say what it shows.

`POST freeze` keeps the present picture in memory, because the camera goes on while the person thinks; `GET frozen?ID`
is that picture; `POST correct` says what it shows, and `GET labels` lists the model's classes. The web server has
checked the address's token, the Origin and the nonce before these are asked.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from typing import Any, Callable

import cv2
import numpy as np

from edgenet_device.collecting.collector import QUALITY
from edgenet_device.errors import EdgenetError
from edgenet_device.field.keeper import PhotoKeeper
from edgenet_device.foreign_text import json_text, read_json
from edgenet_device.web.request import Answer, Request, plain_answer

BODIES = {"/freeze": 64, "/correct": 2048}
"""The paths that take a POST of JSON, with the largest body in bytes."""
MOST_FROZEN = 4
"""At most so many frozen pictures wait in memory; the oldest are dropped."""
_ID = re.compile(r"[0-9a-f]{16}")
State = dict[str, Any]


class Correcting:
    """Answers these requests.

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
        encoded, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
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
