"""MQTT, on a real mosquitto: events that survive its absence, availability, TLS, logins, Home Assistant's discovery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Listener, RealBroker, require_mosquitto, wait_for
from edgenet_device.errors import EdgenetError
from edgenet_device.events import hub, mqtt
from edgenet_device.events.disk_queue import DiskQueue
from edgenet_device.events.event import EventMaker, check_event
from edgenet_device.events.hub import EventHub
from edgenet_device.events.mqtt import (
    Broker,
    MqttSink,
    check_topic,
    default_topic,
    discovery_messages,
    read_address,
    state_after,
)
from edgenet_device.events.stored import read_login
from edgenet_device.events.watcher import Happening
from test_events_webhook import write_certificate

TOPIC = "edgenet/kitchen"
ENTERED = Happening("entered", "cat", 0.913)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PAUSES", (0.1,))
    monkeypatch.setattr(mqtt, "LOOK_SECONDS", 0.1)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RealBroker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    real = RealBroker(require_mosquitto(), folder)
    yield real
    real.stop()


def options(port: int, **changed: Any) -> Broker:
    values = {
        "login": None,
        "authority": None,
        "topic": TOPIC,
        "discovery": "homeassistant",
        "model": "v2.edgenet",
    }
    return Broker("127.0.0.1", port, **{**values, **changed})


def sink(port: int, folder: Path, **changed: Any) -> MqttSink:
    return MqttSink(options(port, **changed), DiskQueue(folder / "q", 10**6))


def sequences(listener: Listener) -> list[int]:
    return [json.loads(payload)["sequence"] for payload in listener.payloads(f"{TOPIC}/event")]


def test_nothing_is_lost_or_doubled_while_the_broker_is_away(broker: RealBroker, tmp_path: Path) -> None:
    maker, told = EventMaker("m", "0"), []

    def publish(to: EventHub, count: int) -> None:
        for _ in range(count):
            to.publish(maker.make(ENTERED, 1))

    broker.start()
    before = Listener(broker.port, "listener")
    with EventHub([sink(broker.port, tmp_path)], lambda *one: told.append(one)) as to:
        publish(to, 5)
        wait_for(lambda: len(sequences(before)) == 5)
        before.stop()
        broker.stop()
        publish(to, 40)
        wait_for(lambda: bool(told))
    # The program ends while the broker is away, and another one begins.
    with EventHub([sink(broker.port, tmp_path)], lambda *one: told.append(one)) as to:
        publish(to, 5)
        wait_for(lambda: any("Connection refused" in str(reason) for _, reason in told))
        broker.start()
        after = Listener(broker.port, "listener")
        publish(to, 10)
        wait_for(lambda: 60 in sequences(after))
    after.stop()
    assert sequences(before) + sequences(after) == list(range(1, 61))
    assert sorted(path.name for path in (tmp_path / "q").iterdir()) == ["lock", "position"]
    for payload in before.payloads(f"{TOPIC}/event"):
        check_event(json.loads(payload))
    assert told[0][1].endswith("; the events wait on the disk")
    assert any("cannot be reached: Connection refused" in str(reason) for _, reason in told)


def test_the_state_and_the_availability_are_kept_by_the_broker(broker: RealBroker, tmp_path: Path) -> None:
    broker.start()
    with EventHub([sink(broker.port, tmp_path)], lambda *one: None) as to:
        to.publish(EventMaker("m", "0").make(ENTERED, 1))
        listener = Listener(broker.port)
        wait_for(lambda: any(b"cat" in state for state in listener.payloads(f"{TOPIC}/state")))
        wait_for(lambda: listener.payloads(f"{TOPIC}/availability")[-1:] == [b"online"])
    wait_for(lambda: listener.payloads(f"{TOPIC}/availability")[-1] == b"offline")
    listener.stop()
    late = Listener(broker.port)
    wait_for(lambda: len(late.messages) >= 6)
    late.stop()
    kept = {topic: payload for topic, payload, retained in late.messages if retained}
    assert json.loads(kept[f"{TOPIC}/state"])["label"] == "cat"
    assert kept[f"{TOPIC}/availability"] == b"offline"
    assert f"{TOPIC}/event" not in kept
    assert {
        name: json.loads(kept[name]) for name in kept if name.startswith("homeassistant/")
    } == discovery_messages(options(broker.port))


def test_a_program_that_is_killed_is_offline_by_its_last_will(broker: RealBroker, tmp_path: Path) -> None:
    broker.start()
    listener = Listener(broker.port)
    program = f"""
import time
from pathlib import Path
from edgenet_device.events.disk_queue import DiskQueue
from edgenet_device.events.mqtt import Broker, MqttSink
broker = Broker("127.0.0.1", {broker.port}, None, None, "{TOPIC}", "", "m")
sink = MqttSink(broker, DiskQueue(Path({str(tmp_path)!r}), 0))
sink.work()
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], env=os.environ) as running:
        wait_for(lambda: listener.payloads(f"{TOPIC}/availability") == [b"online"])
        running.kill()
    wait_for(lambda: listener.payloads(f"{TOPIC}/availability") == [b"online", b"offline"])
    listener.stop()


def test_tls_with_an_authority_and_a_login(broker: RealBroker, tmp_path: Path) -> None:
    certificate, other, passwords = tmp_path / "broker.pem", tmp_path / "other.pem", tmp_path / "passwords"
    write_certificate(certificate)
    write_certificate(other)
    passwords.write_text("camera:secret\n")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, capture_output=True)
    broker.lines = (
        "allow_anonymous false", f"password_file {passwords}", f"certfile {certificate}", f"keyfile {certificate}",
    )  # fmt: skip
    broker.start()
    right = sink(broker.port, tmp_path, authority=certificate, login=("camera", "secret"))
    right.deliver(EventMaker("m", "0").make(ENTERED, 1), None)
    assert right.work() == mqtt.LOOK_SECONDS
    right.close()
    for authority, login, message in (
        (other, ("camera", "secret"), "its certificate is not trusted"),
        (certificate, ("camera", "guess"), "it refuses the connection: .*[Nn]ot authori"),
        (certificate, None, "it refuses the connection: .*[Nn]ot authori"),
    ):
        wrong = sink(broker.port, tmp_path, authority=authority, login=login)
        with pytest.raises(EdgenetError, match=message):
            wrong.work()
        wrong.close()


def test_something_else_than_a_broker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    require_mosquitto()
    monkeypatch.setattr(mqtt, "TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = sink(silent.getsockname()[1], tmp_path)
        with pytest.raises(EdgenetError, match="it refuses the connection: no answer"):
            made.work()
        made.close()


# Home Assistant -------------------------------------------------------------------------------------------------

# The keys that Home Assistant documents for both kinds, with the type of each. Its own check (voluptuous) refuses what
# is of another type, and passes over other keys. Sources, read on 2026-11-30:
# https://www.home-assistant.io/integrations/sensor.mqtt/#configuration-variables
# https://www.home-assistant.io/integrations/binary_sensor.mqtt/#configuration-variables
# homeassistant/components/mqtt/schemas.py of github.com/home-assistant/core (device, origin)
COMMON = {
    "state_topic": str, "value_template": str, "unique_id": str, "name": str, "icon": str, "qos": int,
    "availability_topic": str, "payload_available": str, "payload_not_available": str, "entity_category": str,
    "json_attributes_topic": str, "device_class": str, "device": dict, "origin": dict, "expire_after": int,
    "force_update": bool, "enabled_by_default": bool, "encoding": str,
}  # fmt: skip
DOCUMENTED: dict[str, dict[str, type]] = {
    "sensor": {**COMMON, "unit_of_measurement": str, "state_class": str, "options": list},
    "binary_sensor": {**COMMON, "payload_on": str, "payload_off": str, "off_delay": int},
}
DEVICE = {
    "identifiers",
    "connections",
    "name",
    "manufacturer",
    "model",
    "sw_version",
    "hw_version",
    "serial_number",
}
ORIGIN = {"name", "sw_version", "support_url"}
# https://www.home-assistant.io/integrations/binary_sensor/#device-class and /integrations/sensor/#state_class
CLASSES = {"connectivity", "problem"}
STATE_CLASSES = {"measurement", "total", "total_increasing"}


def test_the_discovery_is_what_home_assistant_documents() -> None:
    messages = discovery_messages(options(1883))
    assert len(messages) == 4
    for topic, payload in messages.items():
        prefix, kind, node, entity, last = topic.split("/")
        assert (prefix, last) == ("homeassistant", "config")
        assert set(node + entity) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
        for key, value in payload.items():
            assert type(value) is DOCUMENTED[kind][key], key
        assert payload["device"].keys() <= DEVICE
        assert payload["device"]["identifiers"]
        assert payload["origin"].keys() <= ORIGIN
        assert "name" in payload["origin"]
        assert payload["state_topic"] == f"{TOPIC}/state"
        assert payload.get("device_class", "problem") in CLASSES
        assert payload.get("state_class", "measurement") in STATE_CLASSES
        assert payload.get("entity_category", "diagnostic") in ("config", "diagnostic")
    assert len({payload["unique_id"] for payload in messages.values()}) == 4
    assert len({json.dumps(payload["device"]) for payload in messages.values()}) == 1
    assert discovery_messages(options(1883, discovery="")) == {}


def test_the_templates_find_their_values_in_the_state() -> None:
    """With the engine that Home Assistant uses, where it is installed: torch brings it along."""
    jinja2 = pytest.importorskip("jinja2")
    maker = EventMaker("m", "0")
    state: dict[str, Any] = {"label": None, "score": None, "since": None, "camera": "ON", "throttled": "OFF"}
    seen = []
    for happening in (Happening("unknown"), ENTERED, Happening("camera_lost"), Happening("throttled")):
        state = state_after(state, maker.make(happening, 1))
        rendered = {
            topic.split("/")[3]: jinja2.Template(payload["value_template"]).render(value_json=state)
            for topic, payload in discovery_messages(options(1883)).items()
        }
        seen.append(rendered)
    assert [one["label"] for one in seen] == ["nothing I know", "cat", "cat", "cat"]
    assert [one["score"] for one in seen] == ["None", "91.3", "91.3", "91.3"]
    assert [one["camera"] for one in seen] == ["ON", "ON", "OFF", "OFF"]
    assert [one["throttled"] for one in seen] == ["OFF", "OFF", "OFF", "ON"]


# Options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pi.local", ("pi.local", 1883)), ("pi.local:8883", ("pi.local", 8883)), ("::1", ("::1", 1883)),
        ("[::1]:1884", ("::1", 1884)), ("[::1]", ("::1", 1883)), ("10.0.0.1:1", ("10.0.0.1", 1)),
    ],
)  # fmt: skip
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize("text", ["", ":1883", "h:0", "h:65536", "h:x", "mqtt://h", "u@h", "h h", "h\n"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(EdgenetError, match="is not an address"):
        read_address(text)


def test_topics_and_logins(tmp_path: Path) -> None:
    assert check_topic("--mqtt-topic", "a/b/") == "a/b"
    assert check_topic("--mqtt-topic", default_topic()) == default_topic()
    for topic in ("", "a/#", "+", "$SYS", "x" * 300, "a\n"):
        with pytest.raises(EdgenetError, match="is not a topic"):
            check_topic("--mqtt-topic", topic)
    login = tmp_path / "login"
    login.write_text("me\nmy password\n")
    assert read_login("--mqtt-login", login) == ("me", "my password")
    for content in (b"me\n", b"\xff\n\xfe\n", b"a\nb\nc\n"):
        login.write_bytes(content)
        with pytest.raises(EdgenetError, match="does not hold two lines"):
            read_login("--mqtt-login", login)


def test_without_paho_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    monkeypatch.setitem(sys.modules, "paho", None)
    with pytest.raises(EdgenetError, match=r"--mqtt needs the package paho-mqtt.*pip install paho-mqtt"):
        mqtt.load_paho()
