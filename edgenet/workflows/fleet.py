"""The verbs for many devices at once: `status_fleet`, `rollback_fleet`, `configure_fleet`; `fleet_deploy` has another.

A device that fails, or that cannot be reached, never stops the work on the others; its row says what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Literal, TypeVar

from edgenet.devices.device import UnreachableError
from edgenet.devices.fleet_file import FleetDevice, chosen_devices
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.workflows.arguments import checked
from edgenet.workflows.configure import Configured, configure
from edgenet.workflows.deploy import Deployed, rollback
from edgenet.workflows.status import Status, status

MOST_AT_ONCE = 16
"""The most devices that are asked, or changed, at the same time."""
State = Literal["done", "as wanted already", "failed", "unreachable", "not tried"]
Outcome = Deployed | Status | Configured
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class FleetRow:
    """What became of one device of a fleet.

    Attributes:
        device: its name in the fleet file; for a target that was given by itself, that target.
        address: how it is reached, such as "ssh:pi@kitchen.local".
        state: "done", "as wanted already" (nothing had to be changed), "failed", "unreachable", or "not tried" (an
            earlier one had failed).
        note: what was found, in one line; "" if there is nothing to say.
        result: what the verb for one device returns; None if it was not done.
    """

    device: str
    address: str
    state: State
    note: str = ""
    result: Outcome | None = None


@dataclass(frozen=True)
class FleetResult:
    """The result of a verb on many devices: a row for each of them, in the order in which they were named."""

    rows: tuple[FleetRow, ...]

    @property
    def complete(self) -> bool:
        """Return whether every device is as it was wanted."""
        return all(row.state in ("done", "as wanted already") for row in self.rows)


@checked
def status_fleet(on: str | Sequence[str], *, progress: Progress = silent) -> FleetResult:
    """Ask many devices for their state at the same time.

    >>> [row.state for row in edgenet.status_fleet("fleet.toml:indoors").rows]  # doctest: +SKIP

    Args:
        on: a fleet file, a part of one ("fleet.toml:GROUP", "fleet.toml:NAME", "fleet.toml:LABEL=VALUE"), a target, or
            several of these.
        progress: called with every device.

    Raises:
        EdgenetError: the fleet file cannot be used, or a target is wrong. What a device answers is in its row.
        TypeError: an argument has the wrong type.
    """
    return FleetResult(on_each(devices_of(on), lambda device, _: status(device.on), progress))


@checked
def rollback_fleet(on: str | Sequence[str], *, progress: Progress = silent) -> FleetResult:
    """Go back to the release that ran before, on many devices at the same time.

    >>> edgenet.rollback_fleet("fleet.toml").complete  # doctest: +SKIP

    Args:
        on: the devices, as `status_fleet` takes them.
        progress: called with every device.

    Raises:
        EdgenetError: see `status_fleet`.
        TypeError: an argument has the wrong type.
    """
    return FleetResult(on_each(devices_of(on), lambda device, _: rollback(device.on), progress))


@checked
def configure_fleet(
    on: str | Sequence[str],
    *,
    options: Sequence[str] = (),
    config: str | Path | None = None,
    run: str | None = None,
    running: bool | None = None,
    progress: Progress = silent,
) -> FleetResult:
    """Change the options of the cameras that run as services on many devices at the same time, or return them.

    >>> edgenet.configure_fleet("fleet.toml", options=["--threshold", "0.6"]).complete  # doctest: +SKIP

    Args:
        on: the devices, as `status_fleet` takes them.
        options: options of `camera.py`, as `configure` takes them.
        config: a camera.toml with such options.
        run: the program that the services start, as `configure` takes it.
        running: whether to start the services (True) or to stop them (False), as `configure` takes it.
        progress: called with every device.

    Raises:
        EdgenetError: see `status_fleet`.
        TypeError: an argument has the wrong type.
    """
    return FleetResult(
        on_each(
            devices_of(on),
            lambda device, _: configure(device.on, options=options, config=config, run=run, running=running),
            progress,
        )
    )


def devices_of(on: str | Sequence[str]) -> tuple[FleetDevice, ...]:
    """Return the devices that `on` names; see `status_fleet`.

    Raises:
        EdgenetError: the fleet file cannot be used, a target is wrong, or two names are one device.
    """
    devices = chosen_devices([on] if isinstance(on, str) else on)
    if not devices:
        raise EdgenetError("there is no device", "give at least one")
    return devices


def on_each(
    devices: Sequence[FleetDevice],
    work: Callable[[FleetDevice, Progress], Outcome | None],
    progress: Progress = silent,
    show: Callable[[FleetRow], None] = lambda row: None,
) -> tuple[FleetRow, ...]:
    """Do the same on several devices at the same time; return their rows, in order.

    Args:
        devices: the devices.
        work: what is done with one, whose errors become its row; None as its result says that nothing was to do.
        progress: called with every step of every device, which begins with the device's name.
        show: called with each row as soon as it is known.
    """

    def row_of(device: FleetDevice, shown: Progress) -> FleetRow:
        def named(stage: str, done: int, total: int | None) -> None:
            shown(f"{device.name}: {stage}", done, total)

        named("connect", 0, None)
        state: State
        try:
            result = work(device, named)
            state, note = ("as wanted already" if result is None else "done"), ""
        except EdgenetError as error:
            result, note = None, str(error)
            state = "unreachable" if isinstance(error, UnreachableError) else "failed"
        row = FleetRow(device.name, device.address, state, note, result)
        show(row)
        return row

    return tuple(at_once(row_of, devices, progress, MOST_AT_ONCE))


def at_once(
    work: Callable[[Item, Progress], Result], items: Sequence[Item], progress: Progress, most: int
) -> list[Result]:
    """Call `work` with each item and with a progress function that threads may share; return the results in order.

    After Ctrl-C, the next step that a thread reports ends its work.

    Args:
        work: what is done with an item.
        items: the items.
        progress: called with every step of every item, never by two threads at once.
        most: the most items that are worked on at the same time.
    """
    if not items:
        return []
    one_at_a_time, stopped = Lock(), Event()

    def shared(stage: str, done: int, total: int | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt  # Ctrl-C reaches only the main thread; this ends the others
        with one_at_a_time:
            progress(stage, done, total)

    with ThreadPoolExecutor(min(most, len(items))) as pool:
        try:
            return list(pool.map(lambda item: work(item, shared), items))
        except KeyboardInterrupt:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
