"""What a comparison allows to be said, in words; where there are too few photos to know, it says that instead."""

from __future__ import annotations

from edgenet.accuracy.paired import Paired, photos_to_tell

MARGIN = 1.0
"""A loss up to this, in points, may be called none. It is what some 500 to 1,300 photos can exclude where int8 changes
1 to 3 % of the answers, as on ImageNet's MobileNets, and close to MLPerf's rule for int8: 99 % of the float accuracy,
for these networks 0.7 points. Half a point would take four times as many photos, more than people have."""
SIGNIFICANT = 0.05
SMALL_DROP = 0.5
ENOUGH_TO_PLAN = 30
"""With fewer photos nobody knows how many answers change, and so not how many photos would be needed."""


def verdict(paired: Paired, margin: float = MARGIN) -> str:
    """What the second network does, as the rest of a sentence about it.

    A loss or a gain is stated where McNemar's test has it below 5 %. "No loss larger than the margin" is said only
    where the upper end of the drop's 95 % interval is at most the margin. Otherwise it cannot be told.

    Args:
        paired: the comparison; the first network is what the second is measured by.
        margin: points.
    """
    if paired.n == 0:
        return "cannot tell: there are no photos"
    interval = f"{paired.interval.low:.2f} to {paired.interval.high:.2f} points"
    if paired.p_value < SIGNIFICANT:
        change = "loses" if paired.drop > 0 else "gains"
        return (
            f"{change} {abs(paired.drop):.2f} points of top-1, which chance does not explain "
            f"(95 % interval of the drop: {interval})"
        )
    if paired.interval.high <= margin:
        return (
            f"no loss larger than {margin:g} point{'s' * (margin != 1)} is hidden in {_photos(paired.n)} "
            f"(95 % interval of the drop: {interval})"
        )
    return (
        f"cannot tell: with {_photos(paired.n)} the drop lies between {paired.interval.low:.2f} and "
        f"{paired.interval.high:.2f} points (95 % interval){_wanted(paired)}"
    )


def _photos(n: int) -> str:
    return f"{n:,} photo{'s' * (n != 1)}"


def _wanted(paired: Paired) -> str:
    if paired.n < ENOUGH_TO_PLAN:
        return "; so few do not even say how many would be enough"
    wanted = photos_to_tell(SMALL_DROP, paired.lost, paired.won, paired.n)
    digits = len(str(wanted)) - 2  # two digits: it is an estimate
    return f"; about {round(wanted, -digits):,} photos would tell a drop of half a point"
