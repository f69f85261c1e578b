"""Cameras that are not this machine's: a phone that opens the page itself, and a Raspberry Pi that sends its photos.

A phone on the cable reaches the page through adb, under its own address 127.0.0.1, where browsers allow the camera. A
phone in the network opens the https address, which it reads from a QR code. A Pi's photos are taken by
`edgenet capture --on ssh:...`, in a child process.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import segno
from edgenet_device.web.address import Address
from starlette.routing import Route

from edgenet.devices.device import Adb, Ssh
from edgenet.devices.targets import read_target
from edgenet.errors import EdgenetError
from edgenet.studio_app.certificate import reachable_host
from edgenet.studio_app.studio import Studio, answers, text
from edgenet.web.viewers import open_target_browser

CAPTURE = "capture"
"""The kind of the job that takes a Pi's photos."""
_MOST_PHOTOS, _EVERY_S = "200", "1"


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
