"""A running Home Assistant finds a running camera on a real mosquitto, and shows what the camera sees.

It needs an environment of its own (some 600 MB), which tests/home-assistant.txt describes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokers import RealBroker, require_mosquitto
from endless_stream import playing
from tiny_model import tiny_model
from virtual_devices import COLOURS, free_port, wait_until

from edgenet.bundle import write_bundle
from edgenet.manifest import Facts, Weights

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
HASS = ROOT / ".envs" / "home-assistant" / "bin" / "hass"
PATIENCE_S = 120
TOPIC = "edgenet/kitchen"
ENTITIES = [
    f"{kind}.edgenet_kitchen_{name}"
    for kind, name in (
        ("sensor", "label"),
        ("sensor", "score"),
        ("binary_sensor", "camera"),
        ("binary_sensor", "throttled"),
    )
]
SECRET = "of this test's user"


@dataclass(frozen=True)
class HomeAssistant:
    """A running Home Assistant, whose API listens on a port of this machine."""

    port: int
    token: str
    log: Path

    def ask(self, path: str, body: dict[str, Any] | None = None) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each entity of the camera."""
        every = {state["entity_id"]: state for state in json.loads(self.ask("states"))}
        return {name: every[name] for name in ENTITIES if name in every}

    def device(self) -> dict[str, str]:
        """Return what is known of the device that has the label."""
        template = "{{ device_attr('%s', '%s') }}"
        return {
            name: self.ask("template", {"template": template % (ENTITIES[0], name)})
            for name in ("name", "manufacturer", "model")
        }

    def shows(self, *states: str) -> bool:
        """Return whether these are the states of ENTITIES, where "%" stands for any number."""
        return tuple(re.sub(r"^[0-9.]+$", "%", state["state"]) for state in self.states().values()) == states


def write_configuration(folder: Path, port: int, broker: int) -> str:
    """Write a configuration with one user and one broker, as if somebody had set it up; return the user's token."""
    (folder / "configuration.yaml").write_text(
        f"homeassistant:\n  time_zone: UTC\napi:\nhttp:\n  server_host: 127.0.0.1\n  server_port: {port}\n"
    )
    user, token = {"id": "1" * 32, "name": "test", "is_owner": True, "is_active": True}, "2" * 32
    kept = {
        "id": token,
        "user_id": user["id"],
        "client_id": None,
        "client_name": "test",
        "client_icon": None,
        "token_type": "long_lived_access_token",
        "created_at": "2026-01-01T00:00:00+00:00",
        "access_token_expiration": 1e9,
        "token": "3" * 128,
        "jwt_key": SECRET,
    }
    entry = {
        "entry_id": "4" * 32,
        "version": 1,
        "domain": "mqtt",
        "title": "mosquitto",
        "data": {"broker": "127.0.0.1", "port": broker, "discovery": True},
        "options": {},
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "unique_id": None,
        "disabled_by": None,
    }
    done = ["user", "core_config", "analytics", "integration"]
    groups = {"group_ids": ["system-admin"], "system_generated": False, "local_only": False}
    storage = {
        "auth": (
            1,
            {"users": [{**user, **groups}], "groups": [], "credentials": [], "refresh_tokens": [kept]},
        ),
        "onboarding": (4, {"done": done}),
        "core.config_entries": (1, {"entries": [entry]}),
    }
    (folder / ".storage").mkdir()
    for name, (version, data) in storage.items():
        text = json.dumps({"version": version, "minor_version": 1, "key": name, "data": data})
        (folder / ".storage" / name).write_text(text)
    return signed({"iss": token, "iat": int(time.time()) - 60, "exp": int(time.time()) + 86400})


def signed(claims: dict[str, Any]) -> str:
    """Return a JSON Web Token."""

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    text = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{text}.{encoded(hmac.digest(SECRET.encode(), text.encode(), hashlib.sha256))}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RealBroker]:
    (tmp_path / "broker").mkdir()
    real = RealBroker(require_mosquitto(), tmp_path / "broker")
    real.start()
    yield real
    real.stop()


@pytest.fixture
def home_assistant(tmp_path: Path, broker: RealBroker) -> Iterator[HomeAssistant]:
    if not HASS.is_file():
        pytest.skip(
            "no Home Assistant: python3.11 -m venv .envs/home-assistant; "
            ".envs/home-assistant/bin/pip install -r tests/home-assistant.txt"
        )
    folder, port = tmp_path / "configuration", free_port()
    folder.mkdir()
    token = write_configuration(folder, port, broker.port)
    running = HomeAssistant(port, token, tmp_path / "hass.log")
    with running.log.open("w") as log:
        command = [HASS, "--config", folder, "--skip-pip", "--log-no-color"]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: answers(running), PATIENCE_S, "Home Assistant answers")
        yield running
    finally:
        process.terminate()
        process.wait()


def answers(running: HomeAssistant) -> bool:
    try:
        return json.loads(running.ask("config"))["state"] == "RUNNING"
    except (urllib.error.URLError, ConnectionError):
        return False


@contextmanager
def camera(bundle: Path, source: str, broker: RealBroker, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let camera.py publish what it sees on the broker."""
    options = [
        f"--mqtt=127.0.0.1:{broker.port}",
        f"--mqtt-topic={TOPIC}",
        f"--queue={folder / 'queue'}",
        "--threshold=0.5",
    ]
    command = [sys.executable, ROOT / "device_scripts" / "camera.py", bundle, source, *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_home_assistant_shows_what_the_camera_sees(
    home_assistant: HomeAssistant, broker: RealBroker, tmp_path: Path
) -> None:
    bundle, picture = tmp_path / "colours.edgenet", np.zeros((48, 64, 3), np.uint8)
    facts = Facts("colours", Weights("a test", "Apache-2.0"))
    write_bundle(bundle, tiny_model(size=32), ["red", "green", "blue"], facts)

    def wait_for(*states: str) -> None:
        wait_until(lambda: home_assistant.shows(*states), PATIENCE_S, f"Home Assistant shows {states}")

    assert home_assistant.states() == {}
    with ExitStack() as later:
        picture[...] = COLOURS["red"]
        with playing(10, picture) as source:
            running = later.enter_context(camera(bundle, source, broker, tmp_path))
            wait_for("red", "%", "on", "off")
            assert home_assistant.device() == {
                "name": "edgenet kitchen",
                "manufacturer": "edgenet",
                "model": bundle.name,
            }
            picture[...] = COLOURS["green"]
            wait_for("green", "%", "on", "off")
            picture[...] = 128
            wait_for("nothing I know", "unknown", "on", "off")
        wait_for("nothing I know", "unknown", "off", "off")
        running.kill()
        wait_for(*["unavailable"] * 4)  # by its last will
    picture[...] = COLOURS["blue"]
    with playing(10, picture) as source, camera(bundle, source, broker, tmp_path):
        wait_for("blue", "%", "on", "off")
    wait_for(*["unavailable"] * 4)
    assert "mqtt" not in home_assistant.log.read_text()  # it has nothing to object to
