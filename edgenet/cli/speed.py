"""A column of the progress bars: photos a second. Imported only where a bar is drawn."""

from __future__ import annotations

from rich.progress import ProgressColumn, Task
from rich.text import Text


class SpeedColumn(ProgressColumn):
    """Photos a second over the last half minute."""

    def render(self, task: Task) -> Text:
        """What stands in the column."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f} photos/s")
