"""Several devices at once: the options of a rollout, and the tables that show what became of each device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from edgenet_device.foreign_text import LONGEST_LABEL, one_line

from edgenet.commands.console import console, plain_table, print_json, say

if TYPE_CHECKING:
    from edgenet.workflows.fleet import FleetResult, FleetRow, Outcome

Canary = Annotated[
    int | None,
    typer.Option(
        "--canary",
        metavar="N",
        min=0,
        show_default="1",
        help="With several devices: change N of them first, one after another, and stop if one fails its check.",
    ),
]
Wave = Annotated[
    int | None,
    typer.Option(
        "--wave",
        metavar="N",
        min=1,
        max=16,
        show_default="8",
        help="With several devices: change N at a time, and stop after a wave in which one fails its check.",
    ),
]
Check = Annotated[
    float | None,
    typer.Option(
        "--check",
        metavar="SECONDS",
        min=0,
        max=3600,
        show_default="20",
        help="How long the service must stay active before the next wave; a device that fails goes back.",
    ),
]
KeepGoing = Annotated[
    bool | None,
    typer.Option(
        "--keep-going", help="With several devices: go on with the next wave although a device has failed."
    ),
]


@dataclass(frozen=True)
class RolloutOptions:
    """How a bundle gets to several devices."""

    canary: Canary = None
    wave: Wave = None
    check: Check = None
    keep_going: KeepGoing = None

    def arguments(self) -> dict[str, Any]:
        """Return those that were given, as arguments of `edgenet.deploy_fleet`."""
        every = {
            "canaries": self.canary,
            "wave": self.wave,
            "check": self.check,
            "keep_going": self.keep_going,
        }
        return {name: value for name, value in every.items() if value is not None}


def names_several(on: Sequence[str]) -> bool:
    """Return whether the values of --on name several devices, or a fleet file."""
    from edgenet.devices.fleet_file import is_fleet

    return len(on) > 1 or "," in on[0] or is_fleet(on[0])


def show_row(row: FleetRow) -> None:
    """Print on standard error what became of a device, as soon as it is known."""
    say(f"{row.device}: {row.state}{f': {row.note}' if row.note else ''}", err=True)


def print_fleet(result: FleetResult, json_output: bool) -> None:
    """Print the table of a fleet, or its JSON; end with exit status 1 unless every device is as wanted.

    Raises:
        typer.Exit: a device failed, could not be reached, or was not tried.
    """
    if json_output:
        print_json(result)
    else:
        _print_table(result)
    if not result.complete:
        raise typer.Exit(1)


def _print_table(result: FleetResult) -> None:
    cells = [{} if row.result is None else _cells(row.result) for row in result.rows]
    names = list(dict.fromkeys(name for one in cells for name in one))
    table = plain_table()
    for name in ("device", "state", *names, "note"):
        table.add_column(name, overflow="fold")
    for row, one in zip(result.rows, cells, strict=True):
        note = row.note or "; ".join(getattr(row.result, "notes", ()))
        table.add_row(row.device, row.state, *(one.get(name, "") for name in names), note)
    console().print(table)
    counts = Counter(row.state for row in result.rows)
    say(", ".join(f"{count} {state}" for state, count in counts.items()))


def _cells(result: Outcome) -> dict[str, str]:
    """Return what the table shows of a result, by the column's name."""
    from edgenet.workflows.configure import Configured
    from edgenet.workflows.deploy import Deployed

    if isinstance(result, Deployed):
        return {"release": result.release, "before": result.previous or ""}
    if isinstance(result, Configured):
        options = " ".join(result.options)
        return {"source": result.source, "page": result.serve or "none", "options": options}
    again = f", restarted {result.restarts} times" if result.restarts else ""
    sees = "" if result.fps is None else one_line(result.label or "nothing I know", LONGEST_LABEL)
    return {
        "bundle": result.bundle or "none",
        "service": f"{result.service or 'none'}{again}",
        "sees": result.lost or sees,
        "speed": "" if result.fps is None else f"{result.fps:.1f} frames/s",
    }
