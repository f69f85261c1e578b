"""Draw a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK = "#222222"
NAMED = 60
"""Largest number of classes whose names are shown; with more, they would be too small to read."""
WITH_NUMBERS = 20
LONGEST_NAME = 24


def confusion_figure(counts: NDArray[np.int64], names: Sequence[str], title: str) -> Figure:
    """Draw a square for every pair of classes; it is darker the larger its share of the row's photos is.

    Args:
        counts: number of photos by true class (rows) and predicted class (columns).
        names: names of the classes.
        title: title of the figure.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(3.2 + 0.34 * len(names), 4.5), 16.0)
    figure = Figure(figsize=(side, side), facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=10, color=INK)
    axes.set_xlabel("predicted class", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    axes.tick_params(length=0, labelsize=8)
    if len(names) <= NAMED:
        short = [_short(name) for name in names]
        axes.set_xticks(range(len(names)), short, rotation=90)
        axes.set_yticks(range(len(names)), short)
    if len(names) <= WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else INK
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=colour
            )
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _short(name: str) -> str:
    name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return name.replace("$", r"\$")
