"""The sink --gpio: a pin that is on while a label is present. It needs the package gpiozero."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import Event
from edgenet_device.events.hub import Picture, Sink
from edgenet_device.events.watcher import ANY_LABEL, Happening, Trigger
from edgenet_device.foreign_text import is_number, one_line
from edgenet_device.model_file import NOTHING_KNOWN

# The names of gpiozero's pin factories: a number of the processor's, or GPIO17, BCM17, BOARD11, J8:11 or WPI0.
_PIN = re.compile(r"\d{1,4}|(?:GPIO|BCM|BOARD|WPI)\d{1,4}|J\d:\d{1,2}")


@dataclass(frozen=True)
class PinOption:
    """What --gpio PIN=LABEL[:SECONDS] says.

    Attributes:
        pin: the pin, as gpiozero names it.
        trigger: LABEL[:SECONDS], not yet read.
    """

    pin: str
    trigger: str


def read_pin(text: str) -> PinOption:
    """Return what PIN=LABEL[:SECONDS] says.

    Raises:
        EdgenetError: it is none.
    """
    pin, equals, trigger = text.partition("=")
    if not equals or not trigger or not _PIN.fullmatch(pin):
        raise EdgenetError(
            f"--gpio {one_line(text)} is not PIN=LABEL[:SECONDS]", "give such as 17=cat, or BOARD11=cat:5"
        )
    return PinOption(pin, trigger)


class PinSink(Sink):
    """Switches a pin on when its trigger fires, and off when the label has left.

    Args:
        pin: the pin, as gpiozero names it.
        trigger: what switches it on.

    Raises:
        EdgenetError: gpiozero is not installed, or the pin cannot be used.
    """

    attempts = 5

    def __init__(self, pin: str, trigger: Trigger) -> None:
        self.name = f"the pin {pin}"
        self._trigger = trigger
        self._device = opened_pin(pin)

    def takes(self, happening: Happening) -> bool:
        """Return whether the event switches the pin on or off."""
        return self._trigger.fires(happening) or self._ends(happening)

    def deliver(self, event: Event, picture: Picture) -> None:
        """Switch the pin."""
        if self._trigger.fires(event.happening):
            self._device.on()
        else:
            self._device.off()

    def close(self) -> None:
        """Switch the pin off and let others use it."""
        self._device.off()
        self._device.close()

    def _ends(self, happening: Happening) -> bool:
        if self._trigger.label == NOTHING_KNOWN:
            return happening.kind == "entered"
        return happening.kind == "left" and self._trigger.label in (ANY_LABEL, happening.label)


def opened_pin(pin: str) -> Any:
    """Return gpiozero's output for a pin, switched off.

    Raises:
        EdgenetError: gpiozero is not installed, this machine has no pins, another program uses the pin, or there is
            no such pin.
    """
    # lgpio, which gpiozero uses on a Pi, makes pipes in its working folder, which a confined service cannot write.
    if "RUNTIME_DIRECTORY" in os.environ:
        os.environ.setdefault("LG_WD", os.environ["RUNTIME_DIRECTORY"].partition(":")[0])
    try:
        gpiozero = import_module("gpiozero")
    except ImportError:
        raise EdgenetError(
            "--gpio needs the package gpiozero, which is not installed",
            "install it: pip install gpiozero lgpio (Raspberry Pi OS: sudo apt install python3-gpiozero)",
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # a paragraph for every way to the pins that this machine does not have
            return gpiozero.DigitalOutputDevice(int(pin) if is_number(pin) else pin)
    except Exception as error:  # each of its pin factories has errors of its own
        reason = one_line(str(error)) or type(error).__name__
        if type(error).__name__ == "GPIOPinInUse" or "busy" in reason.lower():
            raise EdgenetError(
                f"the pin {pin} is in use ({reason})", "give another pin, or end the program that uses it"
            ) from None
        if type(error).__name__ == "BadPinFactory":
            raise EdgenetError(
                f"--gpio: gpiozero finds no pins on this machine ({reason})",
                "on a Raspberry Pi, install what leads to them: sudo apt install python3-lgpio",
            ) from None
        raise EdgenetError(f"the pin {pin} cannot be used: {reason}", "give another pin") from None
