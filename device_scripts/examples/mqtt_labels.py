"""MQTT: publish what the camera sees, each time that it changes, as JSON on one topic of a broker.

It needs paho-mqtt (examples/mqtt_labels.txt). camera.py --mqtt does more: it keeps events on the disk while the broker
is away, and Home Assistant finds it.

PYTHONPATH=device_scripts python device_scripts/examples/mqtt_labels.py broker.local edgenet/garden 0

edgenet deploy v2.edgenet --on ssh:pi@raspberrypi.local --with device_scripts/examples/mqtt_labels.py \\
    --requirements device_scripts/examples/mqtt_labels.txt --service --run mqtt_labels.py -- broker.local
"""

from __future__ import annotations

import json
import os
import sys
import time

import paho.mqtt.client as mqtt
from edgenet_device import Camera, Classifier, EdgenetError, classify_frames


def connected(broker: str, topic: str) -> mqtt.Client:
    """Return a client that connects in a thread of its own, and again whenever the connection is lost."""
    host, _, port = broker.partition(":")
    version = getattr(mqtt, "CallbackAPIVersion", None)  # paho-mqtt 2; Debian 12 has 1.6
    client = mqtt.Client(version.VERSION2) if version else mqtt.Client()
    client.will_set(topic, json.dumps({"online": False}), qos=1, retain=True)
    # One message after the other, so that no older label arrives after a newer one.
    client.max_inflight_messages_set(1)
    client.connect_async(host, int(port or 1883))
    client.loop_start()
    return client


def main(broker: str, topic: str = "edgenet/label", source: str = "0") -> None:
    """Publish the label and its score whenever the label changes."""
    classifier = Classifier(os.environ.get("EDGENET_BUNDLE", "v2.edgenet"))
    client = connected(broker, topic)
    before: tuple[str | None, ...] = ()
    message = None
    for seen in classify_frames(classifier, Camera(source)):
        if (seen.label,) != before:
            before = (seen.label,)
            told = {"online": True, "label": seen.label, "score": seen.score, "time": time.time()}
            message = client.publish(topic, json.dumps(told), qos=1, retain=True)
    if message is not None:
        message.wait_for_publish(10)
    # A film has ended. Without a disconnect here, the broker publishes the last will: this program is offline.


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except EdgenetError as error:
        sys.exit(f"error: {error}")
