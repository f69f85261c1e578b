"""`edgenet status` shows what runs on devices, and how fast."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from edgenet_device.foreign_text import LONGEST_LABEL, LONGEST_LINE, one_line

from edgenet.commands.console import print_json, say, shown_progress
from edgenet.commands.fleet import names_several, print_fleet
from edgenet.commands.options import JsonFlag, on_option

if TYPE_CHECKING:
    from edgenet.devices.app_folders import OwnCode
    from edgenet.workflows.status import DayRow, Status

StatusOn = Annotated[list[str], on_option("local", "ssh", "adb", several=True)]
ShowPage = Annotated[
    bool,
    typer.Option(
        "--page",
        help="Lead the live page of the device's service to this machine until Ctrl-C, and print its address.",
    ),
]


def status_command(on: StatusOn, page: ShowPage = False, json_output: JsonFlag = False) -> None:
    """Show what runs on a device, how fast, and the last error.

    Several devices are asked at the same time, and shown as one table.
    """
    if page:
        _show_page(on, json_output)
        return
    if names_several(on):
        with shown_progress() as progress:
            from edgenet.workflows.fleet import status_fleet

            asked = status_fleet(on, progress=progress)
        print_fleet(asked, json_output)
        return
    with shown_progress():
        from edgenet.workflows.status import status

        result = status(on[0])
    print_json(result) if json_output else _print_status(result)


def _show_page(on: list[str], json_output: bool) -> None:
    if names_several(on) or json_output:
        raise typer.BadParameter("--page is for one device, and prints no JSON")
    from edgenet.workflows.status import follow_page

    with suppress(KeyboardInterrupt):
        follow_page(on[0], lambda url: say(f"live page: {url}  (Ctrl-C ends it)", err=True))


def _print_status(result: Status) -> None:
    rows = (
        ("device", f"{result.target}, up {_duration(result.device_s)}"),
        (
            "bundle",
            f"{result.bundle} ({result.release})" if result.bundle else "none: edgenet deploy installs one",
        ),
        ("service", _service(result)),
        ("options", shlex.join(result.options)),
        ("program", result.program),
        ("your code", "; ".join(map(_own_code, result.code))),
        ("model", one_line(result.model or "")),
        (
            "sees",
            one_line(result.label or "nothing I know", LONGEST_LABEL) if result.fps is not None else None,
        ),
        ("speed", _speed(result)),
        ("page", result.page),
        ("first day", _day(result.days[0]) if result.days else None),
        ("last days", "; ".join(map(_day, result.days[1:][-3:]))),
        ("changed", result.changed),
        ("updates", one_line(result.updates or "", LONGEST_LINE)),
        ("trouble", "; ".join(filter(None, (result.lost, *result.warnings)))),
        ("last error", f"{result.last_error_at}: {result.last_error}" if result.last_error else None),
    )
    for name, value in rows:
        if value:
            say(f"{name:<11} {value}")


def _own_code(code: OwnCode) -> str:
    changed = (
        f" (changed there: {', '.join(one_line(name) for name in code.changed[:3])})" if code.changed else ""
    )
    return f"{code.folder}{changed}"


def _service(result: Status) -> str:
    if result.service is None:
        return f"none: {'edgenet deploy --service installs one' if result.systemd else 'this device has no systemd'}"
    since = f" for {_duration(result.service_s)}" if result.service_s is not None else ""
    ended = f", last ended with: {result.result}" if result.result not in (None, "success") else ""
    return f"{result.service}{since}, restarted {result.restarts} times{ended}"


def _day(day: DayRow) -> str:
    return f"{day.date}: {100 * day.unknown:.1f} % unknown, mean confidence {100 * day.confidence:.1f} %"


def _speed(result: Status) -> str | None:
    if result.fps is None or result.p50_ms is None:
        return None
    heat = "" if result.temperature is None else f", {result.temperature:.0f} °C"
    return f"{result.fps:.1f} frames/s, {result.p50_ms:.1f} ms from frame to label{heat}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
