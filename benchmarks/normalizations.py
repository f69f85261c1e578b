"""What the benchmarks' networks do to pixels first, for files that leave it to their user."""

from __future__ import annotations

Normalization = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and std of red, green and blue, in units of 0..255 pixels: x = (pixel - mean) / std."""

SLIM: Normalization = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
TORCHVISION: Normalization = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
LITE: Normalization = ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
