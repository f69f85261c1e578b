"""The studio's step Deploy in tests: what its buttons send for one device, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet_device.web.address import Address
from studio_client import Client
from virtual_devices import PATIENCE_S, wait_until

from edgenet.studio_app.server import StudioServer
from edgenet.workflows.studio import open_studio


@dataclass
class DeployingStudio:
    """A studio whose page shows the card of one device.

    Attributes:
        client: what sends the page's requests.
        on: the device.
        chosen: name of the bundle that the page has chosen.
    """

    client: Client
    on: str
    chosen: str = ""

    def bundle(self, name: str, data: bytes) -> Path:
        """Put a bundle into the studio's folder, and choose it on the page."""
        path = self.client.studio.places.bundles / f"{name}.edgenet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.chosen = name
        return path

    def press(self, kind: str, **more: Any) -> None:
        """Press a button of the card; `more` is what the card's other fields say."""
        given = {"bundle": self.chosen, "threshold": 0.3, "source": "0", "port": "8080", **more}
        self.client.post("/api/deploy", {**given, "kind": kind, "on": self.on})

    def job(self, kind: str) -> dict[str, Any]:
        """Return what the card shows of the command."""
        found: dict[str, Any] = self.client.get("/api/state")["jobs"][kind]
        return found

    def does(self, kind: str, **more: Any) -> Any:
        """Press a button, wait for the command's end, and return its result."""
        self.press(kind, **more)
        wait_until(lambda: self.job(kind)["ended"], PATIENCE_S, f"{kind} has ended")
        assert self.job(kind)["state"] == "done", self.job(kind)["error"]
        return self.job(kind)["result"]

    def fails(self, kind: str, **more: Any) -> str:
        """Press a button, wait for the command's end, and return the line that says why it failed."""
        self.press(kind, **more)
        wait_until(lambda: self.job(kind)["ended"], PATIENCE_S, f"{kind} has ended")
        assert self.job(kind)["state"] == "failed"
        return str(self.job(kind)["error"])

    @contextmanager
    def watching(self, kind: str) -> Iterator[str]:
        """Press a button for a live view, and yield the address of its page; press Stop at the end."""
        self.press(kind)

        def link() -> re.Match[str] | None:
            return re.search(r"https?://\S+", " ".join(self.job(kind)["lines"]))

        wait_until(lambda: link() or self.job(kind)["ended"], PATIENCE_S, "the live page has an address")
        found = link()
        assert found is not None, self.job(kind)["error"]
        yield found[0]
        self.client.post("/api/deploy/stop", {"kind": kind})
        wait_until(lambda: self.job(kind)["ended"], PATIENCE_S, "the live view has ended")
        assert self.job(kind)["state"] == "stopped"


@contextmanager
def deploying_studio(folder: Path, on: str) -> Iterator[DeployingStudio]:
    """Serve a studio for the duration of the block."""
    studio = open_studio(folder)
    with StudioServer(studio, Address("127.0.0.1", 0, None)) as server:
        yield DeployingStudio(Client(studio, server.address.port), on)
