"""Draw the loss and the top-1 accuracy of a training over its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TRAIN, VAL, INK = "#6b6b6b", "#0072b2", "#222222"


class Epoch(Protocol):
    """The values of an epoch that are drawn."""

    @property
    def epoch(self) -> int:
        """Number of the epoch, starting at 1."""

    @property
    def train_loss(self) -> float:
        """The loss that training minimizes."""

    @property
    def val_loss(self) -> float:
        """Cross-entropy on the validation photos."""

    @property
    def train_top1(self) -> float:
        """Top-1 accuracy on the training photos, percent."""

    @property
    def val_top1(self) -> float:
        """Top-1 accuracy on the validation photos, percent."""


def curve_figure(rows: Sequence[Epoch], title: str) -> Figure:
    """Draw the loss on the left and top-1 on the right, each for training and validation.

    Training values are those of the current weights on augmented photos, validation values those of averaged
    weights.
    """
    figure = Figure(figsize=(9.0, 3.6), facecolor="white", layout="constrained")
    loss, top1 = figure.subplots(1, 2)
    epochs = [row.epoch for row in rows]
    _draw(loss, epochs, [row.train_loss for row in rows], [row.val_loss for row in rows], "loss")
    _draw(top1, epochs, [row.train_top1 for row in rows], [row.val_top1 for row in rows], "top-1, %")
    figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _draw(
    axes: Axes, epochs: Sequence[int], train: Sequence[float], val: Sequence[float], heading: str
) -> None:
    # Markers, because a single point would be invisible as a line.
    marker = "o" if len(epochs) < 20 else ""
    axes.plot(epochs, train, color=TRAIN, lw=1.4, marker=marker, ms=3, label="training, augmented photos")
    axes.plot(epochs, val, color=VAL, lw=1.8, marker=marker, ms=3, label="validation, averaged weights")
    axes.set_title(heading, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("epoch", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#e3e3e0", lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=0)
    axes.legend(frameon=False, fontsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
