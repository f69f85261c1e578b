"""`edgenet status`: show the state of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, print_json, shown_progress

if TYPE_CHECKING:
    from edgenet.verbs.status import Status

On = Annotated[
    str,
    typer.Option(
        "--on", metavar="TARGET", help="Device to ask: local, ssh:USER@HOST[:PORT], adb or adb:SERIAL."
    ),
]


def command(on: On, json_output: JsonFlag = False) -> None:
    """Show what runs on a device, how fast, and the last error."""
    with shown_progress():
        from edgenet.verbs.status import status

        result = status(on)
    print_json(result) if json_output else _print(result)


def _print(result: Status) -> None:
    rows = (
        ("device", f"{result.target}, up {_duration(result.device_s)}"),
        (
            "bundle",
            f"{result.bundle} ({result.release})" if result.bundle else "none: edgenet deploy installs one",
        ),
        ("service", _service(result)),
        ("model", result.model),
        ("sees", (result.label or "nothing I know") if result.fps is not None else None),
        ("speed", _speed(result)),
        ("page", result.page),
        ("trouble", "; ".join(filter(None, (result.lost, *result.warnings)))),
        ("last error", f"{result.last_error_at}: {result.last_error}" if result.last_error else None),
    )
    for name, value in rows:
        if value:
            typer.echo(f"{name:<11} {value}")


def _service(result: Status) -> str:
    if result.service is None:
        return "none: edgenet deploy --service installs one"
    since = f" for {_duration(result.service_s)}" if result.service_s is not None else ""
    ended = f", last ended with: {result.result}" if result.result not in (None, "success") else ""
    return f"{result.service}{since}, restarted {result.restarts} times{ended}"


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
