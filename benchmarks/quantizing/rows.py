"""The figures of the int8 benchmark as plain values: a row for every file, and means over the calibration draws."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgenet.accuracy import mcnemar


@dataclass(frozen=True)
class IntegerCheck:
    """edgenet's integer arithmetic compared with LiteRT, for one file.

    Attributes:
        photos: number of photos.
        values: number of int8 logits compared.
        different: number of them that differ.
        largest: largest difference, in quantization steps.
        error: why edgenet could not read the file; None if it could.
    """

    photos: int
    values: int
    different: int
    largest: int
    error: str | None = None

    @property
    def equal(self) -> bool:
        """Whether all logits are the same."""
        return self.error is None and self.different == 0


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
        photos: name of the calibration set.
        error: why there is no file; `figures` is None then.
        figures: fields of `accuracy.Figures`.
        integer: the integer check, only for edgenet's files of the first draw.
    """

    network: str
    converter: str
    photos: str
    error: str | None
    figures: dict[str, Any] | None
    wall_s: float
    peak_mib: float
    bytes: int
    operators: int
    repeatable: bool | None
    integer: IntegerCheck | None = None


@dataclass(frozen=True)
class CutComparison:
    """Two files of one network: with its dead channels (uncut) and without them (cut).

    Attributes:
        latency_ms, bytes: (uncut, cut).
        top1, agreement: (uncut, cut), percent, on photos that were not used for calibration.
        ratio: latency of cut over uncut, the median over pairs of blocks.
    """

    latency_ms: tuple[float, float]
    bytes: tuple[int, int]
    top1: tuple[float, float]
    agreement: tuple[float, float]
    ratio: float


@dataclass(frozen=True)
class Summary:
    """A converter's figures on a network: means over the calibration draws; `drops` holds the drop of each draw.

    Drops are in percentage points of top-1. The wall time is a median; memory, bytes and operators are maxima. Lost,
    won and saturated photos are summed over the draws; `saturated` is None for float logits.
    """

    network: str
    converter: str
    drops: tuple[float, ...]
    drop: float
    agreement: float
    sqnr_db: float
    top1: float
    float_top1: float
    wall_s: float
    peak_mib: float
    bytes: int
    operators: int
    n: int
    lost: int
    won: int
    kl: float
    worst_db: float
    saturated: int | None

    @property
    def p_value(self) -> float:
        """McNemar's p-value over the photos of all draws."""
        return mcnemar(self.lost, self.won)


def summarize(rows: Sequence[Row]) -> Summary | None:
    """Return the means of the rows of one converter and network; None if there are none or one has no figures."""
    figures = [row.figures for row in rows if row.figures is not None]
    if not figures or len(figures) < len(rows):
        return None

    def mean(key: str) -> float:
        return statistics.fmean(one[key] for one in figures)

    return Summary(
        network=rows[0].network,
        converter=rows[0].converter,
        drops=tuple(one["drop"] for one in figures),
        drop=mean("drop"),
        agreement=mean("agreement"),
        sqnr_db=mean("sqnr_db"),
        top1=mean("top1"),
        float_top1=mean("float_top1"),
        wall_s=statistics.median(row.wall_s for row in rows),
        peak_mib=max(row.peak_mib for row in rows),
        bytes=max(row.bytes for row in rows),
        operators=max(row.operators for row in rows),
        **_logit_figures(figures),
    )


def _logit_figures(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    cut_off = [one["saturated"] for one in figures if one["saturated"] is not None]
    return {
        **{key: int(sum(one[key] for one in figures)) for key in ("n", "lost", "won")},
        **{key: statistics.fmean(one[key] for one in figures) for key in ("kl", "worst_db")},
        "saturated": sum(cut_off) if cut_off else None,
    }
