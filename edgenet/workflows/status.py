"""The verb `status`: what runs on a device, how fast, and the last error."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from edgenet_device.foreign_text import LONGEST_LINE, one_line, read_json

from edgenet.devices.app_folders import OwnCode, code_on
from edgenet.devices.device import Device
from edgenet.devices.releases import SUMS, bundle_in
from edgenet.devices.service import last_error
from edgenet.devices.service_settings import parse_settings, settings_path
from edgenet.devices.shell import script, understood
from edgenet.devices.targets import open_device
from edgenet.devices.unit import UNIT, Service
from edgenet.errors import EdgenetError
from edgenet.workflows.arguments import checked

# The camera rewrites its state file all the time; a state older than this says nothing about the present.
_FRESH_S = 10.0
_STILL_THERE_S = 10.0
"""Seconds between two looks at whether a device is still there."""
_EVERYWHERE = ("0.0.0.0", "::", "::1", "127.0.0.1", "localhost")
"""Addresses of pages that the device itself reaches as 127.0.0.1."""
_ASK = """
link=$(readlink "$1/current") && echo "release=${link#releases/}"
echo "uptime=$(cut -d ' ' -f 1 /proc/uptime)"
echo "clock=$(date +%s)"
! command -v systemctl >/dev/null || echo systemd=
asked=
names=LoadState,ActiveState,NRestarts,Result,ActiveEnterTimestampMonotonic
for manager in "systemctl --user" systemctl; do
    told=$($manager show -p $names "$2" 2>/dev/null)
    case "$told" in *LoadState=loaded*) ;; *) continue ;; esac
    case "$told" in *ActiveState=inactive*) [ -z "$asked" ] || continue ;; esac
    asked=$manager found=$told
    case "$told" in *ActiveState=inactive*) ;; *) break ;; esac
done
[ -z "$asked" ] || echo "$found"
case "$asked" in *--user) folder=${XDG_RUNTIME_DIR:-/run/user/$(id -u)} ;; *) folder=/run ;; esac
[ ! -r "$folder/edgenet/camera.json" ] || echo "state=$(cat "$folder/edgenet/camera.json")"
[ ! -r "$3" ] || echo "settings=$(cat "$3")"
[ ! -r "$1/updates/last.txt" ] || echo "updates=$(head -n 1 "$1/updates/last.txt")"
exit 0
"""


@dataclass(frozen=True)
class DayRow:
    """What a camera's network knew of what it saw on one day.

    Attributes:
        date: the day by the device's clock, such as "2026-11-30".
        seconds: for how many seconds frames were counted, one a second.
        unknown: the share of them that showed nothing the network knows, 0 to 1.
        confidence: mean score of the best class, 0 to 1.
    """

    date: str
    seconds: int
    unknown: float
    confidence: float


@dataclass(frozen=True)
class Status:
    """The state of a device. A field is None if it is unknown or its part does not run.

    Attributes:
        target: the target as the user gave it.
        release: ID of the installed release.
        bundle: name of the release's bundle.
        systemd: whether the device has systemd, which runs the service; a phone has none.
        service: state of the service in systemd's words: "active", "activating" (also while waiting for a
            restart), "failed", "inactive"; None if no service is installed.
        result: why the service last ended, in systemd's words: "success", "exit-code", "watchdog", ...
        restarts: how often systemd restarted the service.
        service_s: how long the service has been running, seconds.
        device_s: how long the device has been running, seconds.
        model: the model and the runtime that runs it.
        label: what the camera sees now; None if nothing the network knows.
        fps: frames classified per second.
        p50_ms: median time from a frame's capture to its labels, milliseconds.
        temperature: temperature of the device, degrees Celsius.
        warnings: what slows the device down now.
        lost: why no frames come; None if they come.
        page: address of the live page, as seen from the device.
        last_error: the last error in the journal.
        last_error_at: time of that error, ISO 8601.
        options: the service's options for camera.py, without passwords; see `configure`.
        program: the user's own program that the service runs instead of camera.py; None for camera.py.
        code: code of the user's own on the device.
        days: what the network knew of what it saw: the first day with this model, and the last days.
        changed: one sentence if that has changed since the first days by more than chance; else None.
        updates: when the device last looked for updates, and what became of it; None if it never did.
    """

    target: str
    release: str | None
    bundle: str | None
    systemd: bool
    service: str | None
    result: str | None
    restarts: int | None
    service_s: float | None
    device_s: float
    model: str | None = None
    label: str | None = None
    fps: float | None = None
    p50_ms: float | None = None
    temperature: float | None = None
    warnings: tuple[str, ...] = ()
    lost: str | None = None
    page: str | None = None
    last_error: str | None = None
    last_error_at: str | None = None
    options: tuple[str, ...] = ()
    program: str | None = None
    code: tuple[OwnCode, ...] = ()
    days: tuple[DayRow, ...] = ()
    changed: str | None = None
    updates: str | None = None


@checked
def status(on: str) -> Status:
    """Ask a device for its state.

    >>> edgenet.status("ssh:pi@raspberrypi.local").fps  # doctest: +SKIP

    Args:
        on: the device, as `deploy` takes it, or "local".

    Raises:
        EdgenetError: the device cannot be reached.
        TypeError: `on` is not a text.
    """
    with open_device(on) as device:
        return status_of(on, device)


def status_of(on: str, device: Device) -> Status:
    """Return the state of an open device; `on` is its name for the result.

    Raises:
        EdgenetError: the device is disconnected, or its answer is not understood.
    """
    out = device.run(script(_ASK, device.home, UNIT, settings_path(device.home))).out.decode(errors="replace")
    answer = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    error = last_error(device) if "ActiveState" in answer else None
    bundle = bundle_name(device, answer.get("release"))
    settings = _settings(answer.get("settings"))
    program = None if settings is None else settings.program
    with understood(device):
        device_s = float(answer["uptime"])
        active = answer.get("ActiveState")
        since_us = int(answer.get("ActiveEnterTimestampMonotonic", "0"))
        return Status(
            target=on,
            release=answer.get("release"),
            bundle=bundle,
            systemd="systemd" in answer,
            service=active,
            result=answer.get("Result"),
            restarts=int(answer["NRestarts"]) if "NRestarts" in answer else None,
            service_s=device_s - since_us / 1e6 if active == "active" else None,
            device_s=device_s,
            last_error=error[1] if error else None,
            last_error_at=error[0] if error else None,
            options=() if settings is None or program else settings.options.shown(),
            program=None if settings is None else settings.shown_program(),
            code=code_on(device),
            updates=answer.get("updates"),
            # A state file that is there although another program runs is an old one of camera.py.
            **_now(answer) if active == "active" and program is None else {},
        )


def follow_page(on: str, show: Callable[[str], None]) -> None:
    """Lead the live page of a device's service to this machine, until Ctrl-C is pressed.

    Args:
        on: the device, as `status` takes it.
        show: called once with the page's address as seen from this machine.

    Raises:
        EdgenetError: no service with a live page runs there, or the device cannot be reached any more.
    """
    with open_device(on) as device, ExitStack() as open_parts:
        page = status_of(on, device).page
        if page is None:
            raise EdgenetError(
                f"{on} has no service that shows a live page now",
                "install one with edgenet deploy --service --serve 8080, or look at edgenet status",
            )
        there = urlsplit(page)
        if there.hostname in _EVERYWHERE and there.port is not None:
            port = open_parts.enter_context(device.forward(there.port))
            page = there._replace(netloc=f"127.0.0.1:{port}").geturl()
        show(page)
        while True:
            time.sleep(_STILL_THERE_S)
            device.run(["true"])


def _settings(text: str | None) -> Service | None:
    """Return the service's settings; None if they are missing or damaged."""
    try:
        return None if text is None else parse_settings(text, "the device")
    except EdgenetError:
        return None


def bundle_name(device: Device, release: str | None) -> str | None:
    """Return the file name of a release's bundle; None if there is none."""
    if not release:
        return None
    return bundle_in(device.pull(f"{device.home}/releases/{release}/{SUMS}").decode(errors="replace"))


def _now(answer: dict[str, str]) -> dict[str, Any]:
    """Return the camera's present state from its state file, as fields of `Status`.

    If there is no such file the result is empty; if the file is old, it holds only the model and a warning.
    """
    try:
        state = read_json(answer.get("state", ""))
        if float(answer["clock"]) - state["written"] > _FRESH_S:
            return {"model": state["model"], "lost": "the camera has stopped reporting its state"}
        keys = ("model", "label", "fps", "p50_ms", "temperature", "lost")
        return {
            **{key: state.get(key) for key in keys},
            "warnings": tuple(state["warnings"]),
            "page": state["url"],
            **_days(state.get("days")),
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # no state, or not one that camera.py wrote
        return {}


def _days(told: Any) -> dict[str, Any]:
    """Return the counts by day in the camera's state, as fields of `Status`; none if an older camera.py wrote it."""
    try:
        rows = [
            DayRow(
                one_line(day["date"]), int(day["seconds"]), float(day["unknown"]), float(day["confidence"])
            )
            for day in told["days"]
        ]
        changed = None if told["changed"] is None else one_line(told["changed"], LONGEST_LINE)
        return {"days": tuple(rows), "changed": changed}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}
