"""Invented rows of a sweep, for drawing and writing tables."""

from __future__ import annotations

from edgenet.workflows.sweep_plan import SweepRow


def row(width: float, resolution: int, top1: float, p50: float, valid: bool = True) -> SweepRow:
    """Return a row whose costs grow as those of MobileNetV1 do."""
    return SweepRow(
        variant=f"mobilenet_v1_{width}_{resolution}",
        width=width,
        resolution=resolution,
        mult_adds=round(569e6 * width**2 * (resolution / 224) ** 2),
        parameters=round(4.2e6 * width**2),
        bytes=round(4.3e6 * width**2),
        n=100,
        float_top1=top1 + 0.5,
        int8_top1=top1,
        int8_low=top1 - 5,
        int8_high=top1 + 5,
        float_low=top1 - 4,
        float_high=top1 + 6,
        latency_p50_ms=p50,
        latency_valid=valid,
        latency_reasons="" if valid else "unsteady",
        device="Some Board, rev 1",
        threads=1,
    )


GRID = tuple(
    row(
        width,
        resolution,
        40 + 20 * width**0.5 + resolution / 20,
        12 * width**1.7 * (resolution / 224) ** 2,
        (width, resolution) != (0.25, 128),
    )
    for width in (0.25, 0.5, 0.75, 1.0)
    for resolution in (128, 160, 192, 224)
)
