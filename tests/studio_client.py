"""A client of a studio's server that sends what its page would send, and what it sends."""

from __future__ import annotations

import http.client
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import cv2
import numpy as np

from edgenet.studio_app.studio import Studio


@dataclass(frozen=True)
class Client:
    """Sends requests to a studio, as its own page does unless other headers are given."""

    studio: Studio
    port: int

    @property
    def photos(self) -> Path:
        return self.studio.places.photos

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items() if value}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read()
        connection.close()
        return found

    def get(self, path: str, **query: str) -> Any:
        status, _, body = self.ask("GET", f"{path}?{urlencode(query)}" if query else path)
        assert status == 200, body
        return json.loads(body)

    def send(self, path: str, body: bytes, kind: str = "application/json", **headers: str) -> tuple[int, Any]:
        """Return the status and the JSON of the answer to a POST."""
        own = {"Origin": f"http://127.0.0.1:{self.port}", "Content_Type": kind, **headers}
        status, _, answer = self.ask("POST", path, body, **own)
        return status, json.loads(answer)

    def post(self, path: str, value: Any) -> Any:
        status, answer = self.send(path, json.dumps(value).encode())
        assert status == 200, answer
        return answer

    def refusal(self, path: str, value: Any) -> str:
        """Return what was found when something is refused."""
        status, answer = self.send(path, json.dumps(value).encode())
        assert status in (400, 409), answer
        return answer["found"]

    def upload(self, label: str, name: str, data: bytes) -> Any:
        status, answer = self.send(
            f"/api/photos/add?{urlencode({'label': label, 'name': name})}", data, "application/octet-stream"
        )
        return answer | {"status": status}

    def names(self, label: str, binned: bool = False) -> list[str]:
        found = self.get("/api/photos", label=label, **({"binned": "1"} if binned else {}))
        return [one["name"] for one in found["photos"]]


def photo(seed: int = 0, blurred: bool = False) -> bytes:
    """Return the JPEG of a picture with edges, which differs with the seed."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (8, 8, 3), np.uint8)
    pixels = cv2.resize(small, (320, 240), interpolation=cv2.INTER_LINEAR if blurred else cv2.INTER_NEAREST)
    if blurred:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 25)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return data.getvalue()
