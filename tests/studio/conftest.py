"""A studio's server over an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from edgenet_device.web.address import Address
from studio_client import Client

from edgenet.studio_app.server import StudioServer
from edgenet.workflows.studio import open_studio


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    studio = open_studio(tmp_path / "things")
    with StudioServer(studio, Address("127.0.0.1", 0, None)) as server:
        yield Client(studio, server.address.port)
