"""Choose the browser that opens pages, from the target that the user gave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgenet.devices.target import Adb, parse_target
from edgenet.webpage.viewer import THIS_MACHINE, Viewer


@contextmanager
def browser_of(target: str) -> Iterator[Viewer]:
    """Yield the phone's browser if the target is a phone, else this machine's, for use within the block.

    Raises:
        EdgenetError: there is no such target, or it cannot be reached.
    """
    where = parse_target(target)
    if not isinstance(where, Adb):
        yield THIS_MACHINE
        return
    from edgenet.webpage.phone import browser_on

    with browser_on(where, target) as viewer:
        yield viewer
