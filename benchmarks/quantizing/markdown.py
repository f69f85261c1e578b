"""The int8 benchmark's report as Markdown, for the documentation: how closely each file follows its float network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from textwrap import fill
from typing import Any

from benchmarks.comparing.tables import markdown
from benchmarks.quantizing.inputs import FEW_NAME
from benchmarks.quantizing.rows import Row, Summary, summarize
from benchmarks.quantizing.tables import read_row
from benchmarks.quantizing.totals import CALIBRATION_DATA, Total, draws_of, total_line

MARK = "<!-- benchmarks.int8 writes from here -->"
WIDTH = 120


@dataclass(frozen=True)
class Line:
    """One line of the table: the files of a converter on a network with one kind of calibration photos.

    Attributes:
        photos: the calibration photos in words.
        summary: means, and sums of photos, over the files.
        agreements: the agreement of each file, percent.
    """

    photos: str
    summary: Summary
    agreements: tuple[float, ...]


_COLUMNS = (
    ("network and recipe", lambda line: f"{line.summary.network} {line.summary.converter}"),
    ("calibrated with", lambda line: line.photos),
    ("float top-1, %", lambda line: f"{line.summary.float_top1:.2f}"),
    ("agrees, %", lambda line: f"{line.summary.agreement:.2f}"),
    ("of each draw", lambda line: " ".join(f"{value:.2f}" for value in line.agreements)),
    ("lost/won", lambda line: f"{line.summary.lost}/{line.summary.won} of {line.summary.n:,}"),
    ("KL, nats", lambda line: f"{line.summary.kl:.4f}"),
    ("SQNR, dB", lambda line: f"{line.summary.sqnr_db:.1f}"),
    ("worst 5 %, dB", lambda line: f"{line.summary.worst_db:.1f}"),
)


def document(report: Mapping[str, Any], command: str) -> str:
    """Return the command, the table, the sums over all networks, and the goals that were missed.

    Args:
        report: see `benchmarks.int8.run`.
        command: the command that made it.
    """
    rows = [read_row(values) for values in report["rows"]]
    goals = report["goals"]
    missed = [goal for goal in goals if goal["met"] is False]
    judged = sum(goal["met"] is not None for goal in goals)
    failed = [f"- {row.network} {row.converter}, {row.photos}: {row.error}" for row in rows if row.error]
    told = "met; these were missed:" if missed else "met."
    return "\n".join(
        [
            _wrapped(f"{date.today().isoformat()}, `{command}`; LiteRT on photos that did not calibrate."),
            "",
            *(f"- {key}: {network['title']}" for key, network in report["networks"].items()),
            "",
            *markdown(_COLUMNS, list(_lines(rows))),
            "",
            *failed,
            *(_wrapped(f"- {total_line(Total(**values))}.") for values in report["totals"]),
            "",
            f"{judged - len(missed)} of {judged} goals were {told}",
            "",
            *(_wrapped(f"- {goal['network']} {goal['goal']}: {goal['seen']}") for goal in missed),
        ]
    )


def _wrapped(line: str) -> str:
    return fill(line, WIDTH, subsequent_indent="  " * line.startswith("- "), break_on_hyphens=False)


def _lines(rows: Sequence[Row]) -> Iterator[Line]:
    for network in dict.fromkeys(row.network for row in rows):
        own = [row for row in rows if row.network == network]
        for converter in dict.fromkeys(row.converter for row in own):
            draws = draws_of(own, converter)
            words = f"its own kind, {len(draws)} draw{'s' * (len(draws) > 1)}"
            yield from _line(words, draws)
            for name, words in ((FEW_NAME, "32 of draw 0"), (CALIBRATION_DATA, "calibration_data/")):
                yield from _line(
                    words, [row for row in own if (row.converter, row.photos) == (converter, name)]
                )


def _line(photos: str, rows: Sequence[Row]) -> Iterator[Line]:
    if summary := summarize(rows) if rows else None:
        yield Line(photos, summary, tuple(row.figures["agreement"] for row in rows if row.figures))
