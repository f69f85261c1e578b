"""Sums of the lost and won photos over all networks of a run: does int8 lose more photos than it wins?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.quantizing.inputs import STEP, draw_name
from benchmarks.quantizing.rows import Row
from edgenet.accuracy import mcnemar

CALIBRATION_DATA = "calibration_data"
FIRST_DRAW, EVERY_SET = draw_name(0), "every calibration set"
ALL_NETWORKS = "all"


@dataclass(frozen=True)
class Total:
    """The files of one converter, over all networks.

    Attributes:
        photos: name of the calibration set, or EVERY_SET.
        networks, files: how many.
        judged: number of judged photos, summed over the files; a photo counts once for each file.
        lost, won: the photos that only the float file and only the int8 file gets right, summed in the same way.
        p_value: the exact p-value of McNemar's test. With EVERY_SET the same photos are judged by several files of a
            network, which makes it smaller than it should be.
    """

    converter: str
    photos: str
    networks: int
    files: int
    judged: int
    lost: int
    won: int
    p_value: float


def draws_of(rows: Sequence[Row], converter: str) -> list[Row]:
    """Return a converter's rows of the calibration draws, without those of other calibration sets."""
    draws = {draw_name(draw) for draw in range(STEP)}
    return [row for row in rows if row.converter == converter and row.photos in draws]


def totals(rows: Sequence[Row]) -> list[Total]:
    """Return each converter's sums with the first draw, with calibration_data/, and with every calibration set.

    Files that could not be made do not count.
    """
    made = [row for row in rows if row.figures is not None]
    return [
        one for converter in dict.fromkeys(row.converter for row in made) for one in _sums(made, converter)
    ]


def _sums(made: Sequence[Row], converter: str) -> Iterator[Total]:
    own = [row for row in made if row.converter == converter]
    for photos in (FIRST_DRAW, CALIBRATION_DATA, EVERY_SET):
        some = [row for row in own if photos in (row.photos, EVERY_SET)]
        if not some:
            continue
        figures = [row.figures for row in some if row.figures is not None]
        judged, lost, won = (int(sum(one[key] for one in figures)) for key in ("n", "lost", "won"))
        networks = len({row.network for row in some})
        yield Total(converter, photos, networks, len(some), judged, lost, won, mcnemar(lost, won))


def total_line(one: Total) -> str:
    """Return the sums in words."""
    note = "; a network's files judge the same photos, so p is too small" if one.files > one.networks else ""
    return (
        f"{one.converter}, calibrated with {one.photos}: networks {one.networks}, files {one.files},"
        f" {one.judged:,} judged photos, {one.lost} lost, {one.won} won, p {one.p_value:.3f}{note}"
    )
