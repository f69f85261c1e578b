"""The sink --mqtt: publishes events and a state on a broker, in which Home Assistant finds the camera by itself.

It needs the package paho-mqtt, version 1.6 or later. A new client is made for every connection: an old one would send
again by itself what this sink also sends again.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.events.disk_queue import DiskQueue
from edgenet_device.events.event import Event
from edgenet_device.events.hub import Picture
from edgenet_device.events.stored import StoredSink, network_reason, tls_context
from edgenet_device.foreign_text import is_number, json_text, one_line, printable
from edgenet_device.model_file import NOTHING_KNOWN

PORT, TLS_PORT = 1883, 8883
TIMEOUT_SECONDS = 10.0
KEEPALIVE_SECONDS = 30
LOOK_SECONDS = 5.0
ONLINE, OFFLINE, ON, OFF = "online", "offline", "ON", "OFF"
_MACHINE = Path("/etc/machine-id")
_LONGEST_TOPIC = 200
# A word of a topic of Home Assistant's discovery: https://www.home-assistant.io/integrations/mqtt/#discovery-topic
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


@dataclass(frozen=True)
class Broker:
    """A broker and how to use it.

    Attributes:
        host: its name or address.
        port: its port; 8883 means TLS.
        login: user and password; None for none.
        authority: PEM file of the certificate authority to trust, which means TLS; None for the system's.
        topic: the topic below which everything is published, without a slash at its end.
        discovery: the topic below which Home Assistant looks for devices; empty for no discovery.
        model: the model's name, which Home Assistant shows.
    """

    host: str
    port: int
    login: tuple[str, str] | None
    authority: Path | None
    topic: str
    discovery: str
    model: str

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.authority is not None or self.port == TLS_PORT


def read_address(text: str) -> tuple[str, int]:
    """Return the host and the port of HOST[:PORT].

    Raises:
        EdgenetError: it is no such address.
    """
    host, colon, digits = text.rpartition(":")
    if text.endswith("]") or not colon or (host.count(":") and not host.startswith("[")):
        host, digits = text, str(PORT)  # an IPv6 address without a port, or no port at all
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    port = int(digits) if is_number(digits) else 0
    if not host or not 0 < port < 65536 or printable(host) != host or set(host) & set(" /@[]"):
        raise EdgenetError(f"--mqtt {one_line(text)} is not an address", "give HOST or HOST:PORT")
    return host, port


def default_topic() -> str:
    """Return a topic that no other device has: its name and four digits that its system was given."""
    try:
        machine = _MACHINE.read_bytes().strip()
    except OSError:
        machine = b""
    name = _NOT_IN_A_NAME.sub("-", socket.gethostname()) or "device"
    return f"edgenet/{name}-{hashlib.sha256(b'edgenet' + machine).hexdigest()[:4]}"


def check_topic(option: str, topic: str) -> str:
    """Return a topic without a slash at its end.

    Raises:
        EdgenetError: nothing can be published below it.
    """
    if not topic or len(topic) > _LONGEST_TOPIC or set(topic) & set("+#$") or printable(topic) != topic:
        raise EdgenetError(
            f"{option} {one_line(topic)!r} is not a topic to publish below",
            "give one such as edgenet/kitchen",
        )
    return topic.rstrip("/")


class MqttSink(StoredSink):
    """Publishes events, and keeps the camera's state and its availability on the broker.

    Args:
        broker: where to.
        queue: where events wait.

    Raises:
        EdgenetError: paho-mqtt is not installed, or the authority's file cannot be used.
    """

    def __init__(self, broker: Broker, queue: DiskQueue) -> None:
        super().__init__(queue)
        self.name = f"the broker {broker.host}"
        self._broker = broker
        self._paho = load_paho()
        self._context = tls_context("--mqtt-ca", broker.authority) if broker.tls else None
        self._client: Any = None
        self._state: dict[str, Any] = {
            "label": None,
            "score": None,
            "since": None,
            "camera": ON,
            "throttled": OFF,
        }
        self._published: dict[str, Any] | None = None

    def deliver(self, event: Event, picture: Picture) -> None:
        """Store an event, and what it changes of the state."""
        super().deliver(event, picture)
        self._state = state_after(self._state, event)

    def send(self, line: bytes) -> None:
        """Publish an event and wait until the broker has confirmed it (QoS 1).

        Raises:
            EdgenetError: the broker cannot be reached, refuses the connection or does not confirm.
        """
        self._connect()
        self._publish("event", line, retain=False)

    def work(self) -> float | None:
        """Connect, publish what is stored, and then the state, if it has changed."""
        self._connect()
        again = super().work()
        if again is None and self._state != self._published:
            self._publish("state", json_text(self._state).encode(), retain=True)
            self._published = self._state
        return LOOK_SECONDS if again is None else again

    def close(self) -> None:
        """Say on the broker that the camera is gone, and leave."""
        if self._client is not None and self._client.is_connected():
            self._publish("availability", OFFLINE.encode(), retain=True)
        self._drop()
        super().close()

    def _connect(self) -> None:
        if self._client is not None and self._client.is_connected():
            return
        self._drop()
        broker, answered = self._broker, threading.Event()
        client, refusals = _new_client(self._paho, f"edgenet-{_hash(broker.topic)}"), []

        def connected(client: Any, data: Any, flags: Any, reason: Any, *properties: Any) -> None:
            if getattr(reason, "is_failure", reason != 0):
                refusals.append(self._paho.connack_string(reason) if isinstance(reason, int) else str(reason))
            answered.set()

        client.on_connect = connected
        client.will_set(f"{broker.topic}/availability", OFFLINE, qos=1, retain=True)
        if broker.login is not None:
            client.username_pw_set(*broker.login)
        if self._context is not None:
            client.tls_set_context(self._context)
        try:
            client.connect(broker.host, broker.port, KEEPALIVE_SECONDS)
        except (OSError, ValueError) as error:
            raise EdgenetError(
                f"it cannot be reached: {network_reason(error)}; the events wait on the disk"
            ) from None
        self._client = client
        client.loop_start()
        if not answered.wait(TIMEOUT_SECONDS) or refusals:
            self._drop()
            raise EdgenetError(f"it refuses the connection: {one_line(''.join(refusals)) or 'no answer'}")
        self._introduce()

    def _introduce(self) -> None:
        """Publish what must be on the broker before the first event."""
        self._published = None
        for topic, payload in discovery_messages(self._broker).items():
            self._publish(topic, json_text(payload).encode(), retain=True, whole=True)
        self._publish("availability", ONLINE.encode(), retain=True)

    def _publish(self, topic: str, payload: bytes, retain: bool, whole: bool = False) -> None:
        """Publish below the topic (or at it, if it is `whole`) and wait for the broker's confirmation."""
        full = topic if whole else f"{self._broker.topic}/{topic}"
        try:
            sent = self._client.publish(full, payload, qos=1, retain=retain)
            sent.wait_for_publish(TIMEOUT_SECONDS)
            confirmed = sent.is_published()
        except (OSError, ValueError, RuntimeError):  # RuntimeError: the connection was lost meanwhile
            confirmed = False
        if not confirmed:
            self._drop()
            raise EdgenetError("it does not confirm what it is sent; the events wait on the disk")

    def _drop(self) -> None:
        """Leave the broker and forget the client, with whatever it still wanted to send."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()


def load_paho() -> Any:
    """Return the module paho.mqtt.client.

    Raises:
        EdgenetError: it is not installed.
    """
    try:
        return import_module("paho.mqtt.client")
    except ImportError:
        raise EdgenetError(
            "--mqtt needs the package paho-mqtt, which is not installed",
            "install it: pip install paho-mqtt (Raspberry Pi OS: sudo apt install python3-paho-mqtt)",
        ) from None


def _new_client(paho: Any, name: str) -> Any:
    """Return a client of paho-mqtt 2 or 1, which does not connect again by itself."""
    version = getattr(paho, "CallbackAPIVersion", None)
    if version is None:
        return paho.Client(client_id=name, clean_session=True, reconnect_on_failure=False)
    return paho.Client(version.VERSION2, client_id=name, clean_session=True, reconnect_on_failure=False)


def state_after(state: dict[str, Any], event: Event) -> dict[str, Any]:
    """Return the state that is kept on the broker, after an event."""
    entries = event.entries
    kind = entries["kind"]
    if kind == "entered":
        return {**state, "label": entries["label"], "score": entries["score"], "since": entries["time"]}
    if kind == "held":
        return {**state, "score": entries["score"]}
    if kind in ("left", "unknown"):
        return {**state, "label": None, "score": None, "since": entries["time"]}
    if kind in ("camera_lost", "camera_back"):
        return {**state, "camera": ON if kind == "camera_back" else OFF}
    return {**state, "throttled": ON if kind == "throttled" else OFF}


def discovery_messages(broker: Broker) -> dict[str, dict[str, Any]]:
    """Return the payloads of Home Assistant's discovery by their topics; none if it is not wanted.

    The keys are those of https://www.home-assistant.io/integrations/mqtt/#discovery-messages, and of its pages
    sensor.mqtt and binary_sensor.mqtt.
    """
    if not broker.discovery:
        return {}
    node = _NOT_IN_A_NAME.sub("_", broker.topic)
    shared = {
        "state_topic": f"{broker.topic}/state",
        "availability_topic": f"{broker.topic}/availability",
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "qos": 1,
        "device": {
            "identifiers": [node],
            "name": broker.topic.replace("/", " "),
            "manufacturer": "edgenet",
            "model": one_line(broker.model),
        },
        "origin": {"name": "edgenet"},
    }
    binary = {"payload_on": ON, "payload_off": OFF, "entity_category": "diagnostic"}
    known = f"{{{{ value_json.label or '{NOTHING_KNOWN}' }}}}"
    percent = "{{ (100 * value_json.score) | round(1) if value_json.score is not none else None }}"
    entities: dict[tuple[str, str], dict[str, Any]] = {
        ("sensor", "label"): {
            "name": "Label",
            "icon": "mdi:eye",
            "value_template": known,
            "json_attributes_topic": f"{broker.topic}/state",
        },
        ("sensor", "score"): {
            "name": "Score",
            "icon": "mdi:percent",
            "value_template": percent,
            "unit_of_measurement": "%",
            "state_class": "measurement",
        },
        ("binary_sensor", "camera"): {
            "name": "Camera",
            "device_class": "connectivity",
            "value_template": "{{ value_json.camera }}",
            **binary,
        },
        ("binary_sensor", "throttled"): {
            "name": "Throttled",
            "device_class": "problem",
            "value_template": "{{ value_json.throttled }}",
            **binary,
        },
    }
    return {
        f"{broker.discovery}/{kind}/{node}/{name}/config": {**shared, "unique_id": f"{node}_{name}", **own}
        for (kind, name), own in entities.items()
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
