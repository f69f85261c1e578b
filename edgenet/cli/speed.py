"""A column of the progress bars: photos per second. It is imported only when a bar is drawn, because it needs rich."""

from __future__ import annotations

from rich.progress import ProgressColumn, Task
from rich.text import Text


class SpeedColumn(ProgressColumn):
    """The speed in photos per second over the last half minute."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f} photos/s")
