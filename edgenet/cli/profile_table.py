"""Tables of a network's operators and the time that each takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.latency.profile import OperatorTime, Profile

BAR = 20
NAME_WIDTH = 48


def profile_table(profile: Profile, width: int) -> Table:
    """Return a table with a row for every operator: time in ms, share, mult-adds, mult-adds per ns, and a bar."""
    from rich import box
    from rich.table import Table

    longest = max(operator.ms for operator in profile.operators)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for heading in ("operator", "output"):
        table.add_column(heading, no_wrap=True, max_width=NAME_WIDTH, overflow="ellipsis")
    for heading in ("ms", "+-", "share", "M mult-\nadds", "per\nns"):
        table.add_column(heading, justify="right", no_wrap=True)
    if width >= 110:
        table.add_column("", no_wrap=True)
    for operator in profile.operators:
        cells = _cells(operator)
        table.add_row(*cells, *([_bar(operator.ms / longest)] if width >= 110 else []))
    return table


def profile_words(profile: Profile) -> list[str]:
    """Return a summary of the table in a few lines."""
    total = sum(profile.kinds.values())
    kinds = ", ".join(f"{kind} {ms / total:.0%}" for kind, ms in profile.kinds.items())
    known = "" if profile.valid else f"; not valid to quote: {'; '.join(profile.reasons)}"
    return [
        f"time: {kinds}",
        f"operators {total:.3f} ms ({profile.clock}; {profile.method}), {profile.threads} thread(s)",
        f"whole network p50 {profile.p50_ms:.3f} ms on {profile.target}, {profile.device}{known}",
    ]


def _cells(operator: OperatorTime) -> list[str]:
    work = operator.mult_adds
    return [
        operator.kind or "unknown",
        operator.output or "",
        f"{operator.ms:.3f}",
        _half_width(operator),
        f"{operator.share:.1%}",
        f"{work / 1e6:.2f}" if work else "",
        f"{work / operator.ms / 1e6:.1f}" if work and operator.ms > 0 else "",
    ]


def _half_width(operator: OperatorTime) -> str:
    if operator.low_ms is None or operator.high_ms is None:
        return ""
    return f"{(operator.high_ms - operator.low_ms) / 2:.3f}"


def _bar(part: float) -> str:
    return "█" * round(BAR * max(part, 0.0))
