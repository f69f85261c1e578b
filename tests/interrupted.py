"""A device to which something happens while it is asked for many things in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgenet.devices.device import Device
from edgenet.devices.targets import open_device

_STEPS = ("run", "start", "push", "pull")


class Interrupted:
    """After so many steps something happens, once; in a push, half of the files have arrived by then.

    Args:
        device: that is asked.
        steps: that go well before.
        event: what happens. The step goes on after it, unless it raises something.
    """

    def __init__(self, device: Device, steps: int, event: Callable[[], object]) -> None:
        self._device, self._left, self._event = device, steps, event

    def __getattr__(self, name: str) -> object:
        asked = getattr(self._device, name)
        if name not in _STEPS:
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
def interrupted(target: str, steps: int, event: Callable[[], object]) -> Iterator[Interrupted]:
    """What `open_device` opens, to be interrupted."""
    with open_device(target) as device:
        yield Interrupted(device, steps, event)
