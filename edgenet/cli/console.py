"""What all verbs share on the screen: progress on standard error, results on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgenet.progress import Progress

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A progress function that draws a bar for each stage; nothing is drawn where nobody looks (no terminal)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def progress(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


def print_json(result: Any) -> None:
    """A frozen dataclass, or a list of them, as JSON."""
    value = [asdict(item) for item in result] if isinstance(result, list | tuple) else asdict(result)
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def note_skipped(skipped: tuple[tuple[str, str], ...]) -> None:
    """Tells on standard error which photos were left out and why."""
    if not skipped:
        return
    typer.echo(f"left out {len(skipped)} unreadable photo{'s' * (len(skipped) > 1)}:", err=True)
    for name, reason in skipped[:10]:
        typer.echo(f"  {name}: {reason}", err=True)
    if len(skipped) > 10:
        typer.echo(f"  and {len(skipped) - 10} more", err=True)


def megabytes(size: int) -> str:
    """A file's size for people, in units of 10**6 bytes."""
    return f"{size / 1e6:.2f} MB"
