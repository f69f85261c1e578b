"""Output that all commands share: progress on standard error, results on standard output."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from edgenet_device.foreign_text import json_text, one_line, printable_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task
    from rich.table import Table

    from edgenet.accuracy import Interval, Paired
    from edgenet.manifest import Accuracy, UnknownAnswer
    from edgenet.progress import Progress

# A file or a pipe has no width of its own; every table of edgenet fits this one.
WIDTH_WITHOUT_TERMINAL = 140
STARTING = "starting"
_PROGRESS_EVERY_S = 0.2


def console(stderr: bool = False) -> Console:
    """Return a rich console as wide as the terminal (or COLUMNS), or 140 columns if the output is not a terminal.

    The console prints text unchanged: file names are not read as markup, and numbers are not coloured.
    """
    from rich.console import Console

    class PlainConsole(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*(printable_lines(o) if isinstance(o, str) else o for o in objects), **options)

        def on_broken_pipe(self) -> None:
            raise  # the error that is being handled: `edgenet.commands.app.main` knows what to do

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH_WITHOUT_TERMINAL
    return PlainConsole(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def plain_table(**options: Any) -> Table:
    """Return an empty table in the style of all tables; `options` are further arguments of rich's Table."""
    from rich import box
    from rich.table import Table

    class PlainTable(Table):
        def add_row(self, *cells: Any, **options: Any) -> None:
            super().add_row(*(printable_lines(c) if isinstance(c, str) else c for c in cells), **options)

    return PlainTable(**{"box": box.SIMPLE_HEAD, "pad_edge": False, "show_edge": False, **options})


def log_to(json_output: bool) -> Callable[[str], None]:
    """Return a function that prints a line of a log: with --json to standard error, so that the JSON stands alone."""
    if json_output and _progress_as_json():
        return lambda line: say(json_text({"log": line}), err=True)
    return lambda line: say(line, err=json_output)


def _progress_as_json() -> bool:
    from edgenet.progress import PROGRESS_VARIABLE

    return os.environ.get(PROGRESS_VARIABLE) == "json"


def say(text: str, err: bool = False) -> None:
    """Print a text on stdout or stderr, without anything that a terminal could take as a command.

    Everything that commands print goes through here, `say_json`, `console` or `plain_table`: it may hold names that
    others wrote.
    """
    typer.echo(printable_lines(text), err=err)


def say_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    typer.echo(json_text(value))


@contextmanager
def shown_progress(photos_per_s: bool = False) -> Iterator[Progress]:
    """Yield a progress function that draws a bar for each stage, or draws nothing without a terminal.

    Enter this block before importing the command's `edgenet.workflows` module: the word "starting" is shown until the
    first stage is reported.

    Args:
        photos_per_s: also show the speed in photos per second and the time remaining.
    """
    if _progress_as_json():
        yield _json_progress()
        return
    terminal = console(stderr=True)
    if not terminal.is_terminal:
        from edgenet.progress import silent

        yield silent
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    text = TextColumn("{task.description}")
    rates = (_speed_column(), TimeRemainingColumn()) if photos_per_s else ()
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), *rates, TimeElapsedColumn())
    # Lines printed meanwhile go above the bars; if standard output is a file, they must go into that file.
    both = sys.stdout.isatty()
    with Bars(*columns, console=terminal, transient=True, redirect_stdout=both) as bars:
        tasks: dict[str, Any] = {STARTING: bars.add_task(STARTING, total=None)}

        def progress(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                bars.update(tasks[STARTING], visible=False)
                # Work that an earlier, interrupted run did must not count towards this run's speed.
                tasks[stage] = bars.add_task(one_line(stage), total=total, completed=done)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


def _json_progress() -> Progress:
    """Return a progress function that writes lines of JSON to standard error, for a program that shows them.

    A line is written when a stage begins or ends, and at most every _PROGRESS_EVERY_S seconds in between.
    """
    last = ("", 0.0)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def progress(stage: str, done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if stage == last[0] and done != total and now - last[1] < _PROGRESS_EVERY_S:
            return
        last = (stage, now)
        say(json_text({"stage": stage, "done": done, "total": total}), err=True)

    progress(STARTING, 0, None)
    return progress


def _end_with(parent: int) -> None:
    """Stop this process, as Ctrl-C would, once the program that shows its progress is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def print_json(result: Any) -> None:
    """Print a frozen dataclass, or a list of them, as strict JSON (RFC 8259); infinities and NaN become null."""
    value = _strict(result)
    text = json_text(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # the terminal, or a file name in the result, is not UTF-8
        text = json_text(value, indent=2)
    typer.echo(text)


def _strict(value: Any) -> Any:
    """Return the value with its dataclasses turned into dictionaries; `json_text` does the rest."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list | tuple) else value


def note_skipped(skipped: tuple[tuple[str, str], ...]) -> None:
    """Report on standard error which photos were left out and why."""
    if not skipped:
        return
    say(f"left out {len(skipped)} unreadable photo{'s' * (len(skipped) > 1)}:", err=True)
    for name, reason in skipped[:10]:
        # Most reasons begin with the photo's name.
        line = reason if reason.startswith(name) else f"{name}: {reason}"
        say(f"  {one_line(line, 400)}", err=True)
    if len(skipped) > 10:
        say(f"  and {len(skipped) - 10} more", err=True)


def megabytes(size: int) -> str:
    """Format a file's size in units of 10**6 bytes."""
    return f"{size / 1e6:.2f} MB"


def accuracy_text(accuracy: Accuracy) -> str:
    """Describe a measured accuracy in one line."""
    measured = (("float", accuracy.float_top1), ("int8", accuracy.int8_top1))
    figures = ", ".join(f"{kind} {top1:.2f} %" for kind, top1 in measured if top1 is not None)
    return f"top-1 on {accuracy.n} photos of {accuracy.data}: {figures}"


def unknown_text(unknown: UnknownAnswer) -> str:
    """Describe in one line how well a network's output for unknown things works."""
    text = f'"{unknown.label}": {unknown.kept:.1f} % of the user\'s photos stay known'
    if unknown.false_alarms is None or unknown.auroc is None:
        return text
    return f"{text}; false alarms {unknown.false_alarms:.1f} %, AUROC {unknown.auroc:.3f} on {unknown.background}"


def interval_text(interval: Interval) -> str:
    """Format both ends of an interval, in the unit of its figure."""
    return f"{interval.low:.2f} to {interval.high:.2f}"


def paired_text(paired: Paired) -> str:
    """Describe in one line how many right answers a network lost and won against the first network."""
    p_value = "< 0.001" if paired.p_value < 0.001 else f"= {paired.p_value:.3f}"
    return f"{paired.lost} lost, {paired.won} won, McNemar's p {p_value}"


def warn(warnings: Sequence[str]) -> None:
    """Print warnings about finished work on standard error."""
    for warning in warnings:
        say(f"warning: {warning}", err=True)


def short_names(paths: Sequence[str]) -> list[str]:
    """Shorten paths to their last parts: to as few parts as keep different paths distinct.

    >>> short_names(["out/v1.tflite", "old/v2.tflite", "new/v2.tflite"])
    ['v1.tflite', 'old/v2.tflite', 'new/v2.tflite']
    """
    return [_short(path, set(paths) - {path}) for path in paths]


def _short(path: str, others: set[str]) -> str:
    parts = Path(path).parts
    for count in range(1, len(parts)):
        if not any(Path(other).parts[-count:] == parts[-count:] for other in others):
            return str(Path(*parts[-count:]))
    return path


def _speed_column() -> ProgressColumn:
    """Return a column with the speed in photos per second over the last half minute."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class SpeedColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.0f} photos/s")

    return SpeedColumn()
