"""The input normalizations of the benchmarks' networks, for files that do not normalize pixels themselves."""

from __future__ import annotations

Normalization = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and std of red, green and blue, in units of 0..255 pixels: x = (pixel - mean) / std."""

SLIM: Normalization = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
TORCHVISION: Normalization = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
LITE: Normalization = ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


def as_text(normalization: Normalization) -> str:
    """Return MEAN,MEAN,MEAN/STD,STD,STD, which `edgenet convert --normalization` and the peers' scripts take."""
    return "/".join(",".join(f"{value:g}" for value in values) for values in normalization)


def parse(text: str) -> Normalization:
    """Return the normalization that `as_text` wrote."""
    mean, std = (tuple(float(value) for value in part.split(",")) for part in text.split("/"))
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
