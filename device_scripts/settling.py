"""Waits until the device is cool and idle, but no longer than allowed."""

from __future__ import annotations

import time
from typing import Any, Callable

from .conditions import Conditions, hottest, load, look
from .entry import usable_cpus
from .validity import MAX_LOAD_PER_CORE

Say = Callable[[str, int, int], None]
"""A function that receives progress: the stage's name, how much of it is done, and how much there is."""

STEADY_S = 10.0
"""A device has cooled down when its temperature has not fallen for this long ..."""
STEADY_CELSIUS = 0.5
"""... by more than this."""
CALM_PER_CORE = 0.6 * MAX_LOAD_PER_CORE
"""Load per core that counts as idle; below the limit of validity, because measuring itself adds load."""
_STEP_S = 1.0


def settle(longest_s: float, say: Say) -> dict[str, Any]:
    """Wait at most `longest_s` seconds until the load, throttling and heat of earlier programs have gone.

    Args:
        say: called once per second with what is being waited for and the seconds waited.

    Returns:
        for the report: how long it waited, whether the device settled, what was still being waited for, and
        the hottest sensor's temperature before and after.
    """
    began = time.monotonic()
    cooling = _Cooling()
    first = seen = look()
    while True:
        elapsed = time.monotonic() - began
        waiting_for = _waiting_for(seen, cooling.falls(seen, elapsed))
        if not waiting_for or elapsed >= longest_s:
            break
        say(f"waiting for the device ({', '.join(waiting_for)})", int(elapsed), int(longest_s))
        time.sleep(min(_STEP_S, longest_s - elapsed))
        seen = look()
    return {
        "waited_s": round(elapsed, 1),
        "longest_s": longest_s,
        "settled": not waiting_for,
        "waiting_for": waiting_for,
        "hottest_celsius": [hottest(first.temperatures_celsius), hottest(seen.temperatures_celsius)],
    }


class _Cooling:
    """Follows the temperature to tell whether it is still falling."""

    def __init__(self) -> None:
        self._lowest: float | None = None
        self._since = 0.0

    def falls(self, seen: Conditions, now_s: float) -> bool:
        """Return whether the temperature fell in the last STEADY_S seconds; False without a thermometer."""
        degrees = hottest(seen.temperatures_celsius)
        if degrees is None:
            return False
        if self._lowest is None or degrees < self._lowest - STEADY_CELSIUS:
            self._lowest, self._since = degrees, now_s
        return now_s - self._since < STEADY_S


def _waiting_for(seen: Conditions, falling: bool) -> list[str]:
    average = load()
    busy = average is not None and average > CALM_PER_CORE * len(usable_cpus())
    reasons = [f"load {average:.2f}"] if busy else []
    reasons += (seen.throttling or {}).get("now", [])
    return [*reasons, "temperature"] if falling else reasons
