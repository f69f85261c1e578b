"""What a camera in the field sees in the tests, and a person who corrects it on its page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import cv2
import numpy as np

from edgenet.devices.device import Device

SIDE = 64


def scene(hue: int, seed: int) -> np.ndarray:
    """A picture of one colour in a pattern of its own."""
    light = cv2.resize(
        np.random.default_rng(seed).integers(60, 256, (8, 9), np.uint8),
        (SIDE, SIDE),
        interpolation=cv2.INTER_NEAREST,
    )
    hsv = np.dstack([np.full_like(light, hue), np.full_like(light, 220), light])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def film(path: Path, scenes: list[tuple[int, int]], seconds: int) -> Path:
    """Write a film that shows each scene (hue, pattern) for so long, at two frames a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 2, (SIDE, SIDE))
    for hue, seed in scenes:
        for _ in range(2 * seconds):
            writer.write(scene(hue, seed))
    writer.release()
    return path


def wait_until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def correct(device: Device, state: Path, said: str) -> None:
    """Do what the page does when a person corrects an answer, with the page that the camera's state names."""
    url = json.loads(state.read_text())["url"]
    port = int(url.rpartition(":")[2].strip("/"))

    def ask(method: str, path: str, body: object = None, **headers: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", here, timeout=60)
        sent = None if body is None else json.dumps(body)
        origin = {"Origin": f"http://127.0.0.1:{here}", "Content-Type": "application/json"}
        connection.request(method, path, sent, {**({} if body is None else origin), **headers})
        answer = connection.getresponse()
        found = answer.read()
        connection.close()
        assert answer.status == 200, found
        return found

    with device.forward(port) as here:
        watching = HTTPConnection("127.0.0.1", here, timeout=60)
        watching.request("GET", "/picture")
        watching.getresponse().read(2000)  # a browser shows the picture
        nonce = {"X-Edgenet-Nonce": ask("GET", "/nonce").decode().strip()}
        frozen = json.loads(ask("POST", "/freeze", {}, **nonce))
        assert (
            ask("POST", "/correct", {"id": frozen["id"], "said": said}, **nonce)
            == f"kept as {said}\n".encode()
        )
        watching.close()
