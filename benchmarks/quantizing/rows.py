"""The benchmark's figures as plain values: a row for every file, and their means over the calibration draws."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class IntegerCheck:
    """The exact integer reading of a file beside LiteRT running it.

    Attributes:
        values: int8 logits compared.
        different: how many of them differ.
        largest: by how many steps at most.
        error: why the file could not be read so; None where it could.
    """

    photos: int
    values: int
    different: int
    largest: int
    error: str | None = None

    @property
    def equal(self) -> bool:
        """Whether every one of them is the same."""
        return self.error is None and self.different == 0


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
        photos: the calibration set's name.
        error: why there is no file; the figures are None then.
        figures: fields of `accuracy.Figures`.
        integer: for edgenet's files of the first draw.
    """

    network: str
    contender: str
    photos: str
    error: str | None
    figures: dict[str, float] | None
    wall_s: float
    peak_mib: float
    bytes: int
    operators: int
    repeatable: bool | None
    integer: IntegerCheck | None = None


@dataclass(frozen=True)
class CutComparison:
    """Two files of one network, uncut and cut.

    Attributes:
        latency_ms, bytes, top1, agreement: (uncut, cut); the latter two on photos that did not calibrate, percent.
        ratio: of the latencies, cut over uncut, as the median over pairs of blocks.
    """

    latency_ms: tuple[float, float]
    bytes: tuple[int, int]
    top1: tuple[float, float]
    agreement: tuple[float, float]
    ratio: float


@dataclass(frozen=True)
class Summary:
    """A contender on a network: means over the calibration draws; drops of each draw, in points of top-1."""

    network: str
    contender: str
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


def summarize(rows: Sequence[Row]) -> Summary | None:
    """The mean of rows of one contender and network; None where one of them has no figures, or there is none."""
    figures = [row.figures for row in rows if row.figures is not None]
    if not figures or len(figures) < len(rows):
        return None

    def mean(key: str) -> float:
        return statistics.fmean(one[key] for one in figures)

    return Summary(
        network=rows[0].network,
        contender=rows[0].contender,
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
    )
