"""A device on which an event happens after a given number of steps."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any

from edgenet.devices.device import Device
from edgenet.devices.targets import open_device

STEPS = ("run", "start", "push", "pull")


class Interrupted:
    """Call `event` once after some steps; if that step is a push, half of its files have arrived by then.

    Args:
        device: the device.
        steps: number of steps that succeed before.
        event: called once. The interrupted step continues afterwards, unless it raises an exception.
        only: the kinds of steps that count.
    """

    def __init__(
        self, device: Device, steps: int, event: Callable[[], object], only: Container[str] = STEPS
    ) -> None:
        self._device, self._left, self._event, self._only = device, steps, event, only

    def __getattr__(self, name: str) -> object:
        asked = getattr(self._device, name)
        if name not in self._only:
            return asked

        def counted(given: Any, *more: Any, **named: Any) -> object:
            self._left -= 1
            if self._left == -1:
                if name == "push":
                    asked(dict(list(given.items())[: len(given) // 2]), *more, **named)
                self._event()
            return asked(given, *more, **named)

        return counted


@contextmanager
def interrupted(
    target: str, steps: int, event: Callable[[], object], only: Container[str] = STEPS
) -> Iterator[Interrupted]:
    """Open the device of `open_device` with that interruption."""
    with open_device(target) as device:
        yield Interrupted(device, steps, event, only)
