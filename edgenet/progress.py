"""The callbacks with which long work reports its progress and logs lines, however they are displayed."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called with the name of the stage, the amount done, and the total amount (None if unknown)."""
StageProgress = Callable[[int, int], None]
"""Called with the amount done and the total amount of one stage, such as photos, files or bytes."""
Log = Callable[[str], None]
"""Called with a line of text for the user; `print` is one."""
PROGRESS_VARIABLE = "EDGENET_PROGRESS"
"""With `json` in this environment variable, commands report their progress on standard error as lines of JSON."""


def silent(stage: str, done: int, total: int | None) -> None:
    """Ignore the progress."""


def no_log(line: str) -> None:
    """Ignore the line."""


def in_stage(progress: Progress, stage: str) -> StageProgress:
    """Return a function that reports the progress of one stage."""
    return lambda done, total: progress(stage, done, total)
