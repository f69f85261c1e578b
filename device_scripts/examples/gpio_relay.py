"""A relay: a pin of the Raspberry Pi is on for as long as the camera sees a label.

It needs gpiozero, which Raspberry Pi OS has (else: sudo apt install python3-gpiozero python3-lgpio).

PYTHONPATH=device_scripts python device_scripts/examples/gpio_relay.py Samoyed 17 0

edgenet deploy v2.edgenet --on ssh:pi@raspberrypi.local --with device_scripts/examples/gpio_relay.py \\
    --service --run gpio_relay.py -- Samoyed 17 0
"""

from __future__ import annotations

import os
import signal
import sys

from edgenet_device import Camera, Classifier, EdgenetError, classify_frames
from edgenet_device.foreign_text import say
from gpiozero import GPIOZeroError, OutputDevice


def main(label: str, pin: str = "17", source: str = "0") -> None:
    """Switch the pin on while the label is the answer, and off when the program ends."""
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # how the service is stopped: the pin goes off first
    classifier = Classifier(os.environ.get("EDGENET_BUNDLE", "v2.edgenet"))
    if label not in classifier.labels:
        sys.exit(f"error: the model has no label {label!r}")
    with OutputDevice(pin) as relay:
        for seen in classify_frames(classifier, Camera(source)):
            wanted = seen.label == label
            if wanted != bool(relay.value):
                relay.value = wanted
                say(f"{seen.name}: pin {pin} {'on' if wanted else 'off'}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (EdgenetError, GPIOZeroError) as error:
        sys.exit(f"error: {error}")
