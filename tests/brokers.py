"""A real mosquitto for the tests, and a listener that is a program of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("mosquitto", "/usr/sbin/mosquitto")


def require_mosquitto() -> str:
    """Return the broker's program; skip the test where it or paho-mqtt is missing."""
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("mosquitto is not installed; to run this: sudo apt install mosquitto")
    return program


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until something is true, at most a minute."""
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@dataclass
class RealBroker:
    """A mosquitto on a free port; it keeps retained messages over a restart.

    Attributes:
        lines: more lines of its configuration.
        port: its port.
    """

    program: str
    folder: Path
    lines: tuple[str, ...] = ("allow_anonymous true",)
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        settings = self.folder / "mosquitto.conf"
        settings.write_text(
            f"listener {self.port} 127.0.0.1\nuser root\npersistence true\n"
            f"persistence_location {self.folder}/\nlog_dest none\n" + "\n".join(self.lines) + "\n"
        )
        self.process = subprocess.Popen([self.program, "-c", str(settings)], stderr=subprocess.DEVNULL)
        wait_for(self._listens)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """Another client of the broker, which keeps every message of every topic.

    Args:
        port: the broker's port.
        name: with a name, the broker keeps for it what comes while it is away.
    """

    def __init__(self, port: int, name: str = "") -> None:
        paho = import_module("paho.mqtt.client")
        version = getattr(paho, "CallbackAPIVersion", None)
        first = (version.VERSION2,) if version else ()
        self.client: Any = paho.Client(*first, client_id=name, clean_session=not name)
        self.messages: list[tuple[str, bytes, bool]] = []
        self.ready = False
        self.client.on_message = lambda client, data, one: self.messages.append(
            (one.topic, one.payload, one.retain)
        )
        self.answered = False
        self.client.on_unsubscribe = lambda *arguments: setattr(self, "answered", True)
        self.client.on_subscribe = lambda *arguments: setattr(self, "ready", True)
        self.client.on_connect = lambda client, *arguments: client.subscribe("#", 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        wait_for(lambda: self.ready)

    def payloads(self, topic: str) -> list[bytes]:
        """Return what came on a topic, in order."""
        return [payload for name, payload, _ in self.messages if name == topic]

    def stop(self) -> None:
        """Leave the broker once it knows of all messages that they came; otherwise it would send them again."""
        self.client.unsubscribe("none")
        wait_for(lambda: self.answered)
        self.client.disconnect()
        self.client.loop_stop()
