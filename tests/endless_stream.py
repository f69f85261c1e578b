"""A stream that never ends: JPEGs over HTTP, as from a network camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from edgenet_device.live.page import LivePage
from edgenet_device.web.address import parse_address

CHEQUERED = (
    np.kron(np.indices((6, 8)).sum(0) % 2, np.full((8, 8), 200))[..., None].repeat(3, 2).astype(np.uint8)
)
"""uint8 BGR [48,64,3]; its edges are sharp, so that it does not count as blurred."""


@contextmanager
def playing(per_second: float, picture: np.ndarray = CHEQUERED) -> Iterator[str]:
    """Play one picture, uint8 BGR [H,W,3], as a stream without an end, and yield its URL."""
    stop = threading.Event()
    with LivePage(parse_address("0")) as source:

        def play() -> None:
            while not stop.wait(1 / per_second):
                source.show({}, picture)

        player = threading.Thread(target=play)
        player.start()
        try:
            yield f"{source.address.url()}picture"
        finally:
            stop.set()
            player.join()
