"""Cameras of other devices: the QR code for a phone in the network, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.web.address import Address
from studio_client import Client

from edgenet.studio_app.collect_routes import OtherCameras, page_url
from edgenet.workflows.studio import open_studio


def test_the_code_holds_the_address_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    address = Address("192.168.1.5", 8790, "the-token")
    found = OtherCameras(open_studio(tmp_path / "things"), address)._network({})
    assert found["url"] == page_url(address) == "https://192.168.1.5:8790/?token=the-token"
    rows = np.array([[255 * (dark == "0") for dark in row] for row in found["code"]], np.uint8)
    picture = cv2.resize(
        np.pad(rows, 4, constant_values=255), None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST
    )
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0] == found["url"]


def test_only_this_machine_gets_no_code(client: Client) -> None:
    assert client.get("/api/cameras/network") == {"url": None, "code": None}


@pytest.mark.parametrize("on", ["local", "adb", "ssh:-oProxyCommand=x", "fleet.toml:pi", "", "ssh:"])
def test_a_pi_is_reached_over_ssh(client: Client, on: str) -> None:
    client.post("/api/classes/add", {"label": "mug"})
    assert client.refusal("/api/cameras/pi", {"label": "mug", "on": on})
    assert client.studio.jobs.latest() == []


def test_a_phone_is_reached_over_adb(client: Client) -> None:
    assert "is not a phone" in client.refusal("/api/cameras/phone", {"on": "ssh:pi@raspberrypi.local"})
    assert "no class" in client.refusal("/api/cameras/pi", {"label": "gone", "on": "ssh:pi@pi.local"})
