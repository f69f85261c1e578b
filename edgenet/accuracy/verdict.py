"""Says in words what a comparison proves, or that there are too few photos to tell."""

from __future__ import annotations

from edgenet.accuracy.paired import Paired, photos_to_tell

MARGIN = 1.0
"""A loss up to this many percentage points counts as no loss. About 500 to 1,300 photos can exclude a larger
loss if int8 changes 1 to 3 % of the answers, as for ImageNet's MobileNets. The margin is close to MLPerf's
rule for int8, 99 % of the float accuracy, which for these networks is 0.7 points. A margin of half a point
would need four times as many photos, more than people usually have."""
SIGNIFICANT = 0.05
SMALL_DROP = 0.5
ENOUGH_TO_PLAN = 30
"""With fewer photos, the share of changed answers is too uncertain to estimate how many would be needed."""


def verdict(paired: Paired, margin: float = MARGIN) -> str:
    """Return the conclusion about the second network, without naming it: the caller puts its name in front.

    The text states a loss or a gain if the p-value of McNemar's test is below 5 %. It rules out a loss larger
    than the margin only if the upper end of the drop's 95 % interval is at most the margin. Otherwise it says
    that nothing can be told.

    Args:
        paired: the comparison with the first network.
        margin: largest loss that counts as no loss, percentage points.
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
            f"a loss larger than {margin:g} point{'s' * (margin != 1)} is ruled out by {_photos(paired.n)} "
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
        return "; so few photos cannot even show how many would be enough"
    wanted = photos_to_tell(SMALL_DROP, paired.lost, paired.won, paired.n)
    digits = len(str(wanted)) - 2  # round to two significant digits, because it is only an estimate
    return f"; about {round(wanted, -digits):,} photos would show a drop of half a point"
