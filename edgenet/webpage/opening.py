"""From what the user typed to the browser that opens pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgenet.devices.target import Adb, parse_target
from edgenet.webpage.viewer import THIS_MACHINE, Viewer


@contextmanager
def browser_of(target: str) -> Iterator[Viewer]:
    """A phone's browser where the target is a phone, else that of this machine; for as long as the block lasts.

    Raises:
        EdgenetError: no such target, or it cannot be reached.
    """
    where = parse_target(target)
    if not isinstance(where, Adb):
        yield THIS_MACHINE
        return
    from edgenet.webpage.phone import browser_on

    with browser_on(where, target) as viewer:
        yield viewer
