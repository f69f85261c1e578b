"""The data that the layer report shows: a row for every layer that rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgenet.quantize.encodings import ChannelUse
from edgenet.quantize.error import LayerErrors
from edgenet.quantize.noise import NoiseShares


@dataclass(frozen=True)
class Row:
    """One layer's values; `LayerError` and `LayerShare` explain those not listed here.

    Attributes:
        name: the node's name.
        kind: the operator's name in the file.
        activations, weights: shares of the noise; `weights` is None if it cannot be known.
    """

    name: str
    kind: str
    sqnr_db: float
    range_used: float | None
    saturated: float | None
    channels: ChannelUse | None
    activations: float
    weights: float | None


@dataclass(frozen=True)
class Report:
    """The layer report: its title, the measured errors and noise, the advice, and the rows."""

    title: str
    errors: LayerErrors
    noise: NoiseShares
    advice: str
    rows: tuple[Row, ...]


def report_rows(errors: LayerErrors, noise: NoiseShares, kinds: Mapping[str, str]) -> tuple[Row, ...]:
    """Return, in the file's order, a row for every layer whose error and share of the noise are both known.

    `kinds` maps node names to the names of their operators in the file.
    """
    shares = {layer.node: layer for layer in noise.layers}
    return tuple(
        Row(
            error.node,
            kinds.get(error.node, ""),
            error.sqnr_db,
            error.range_used,
            error.saturated,
            error.channels,
            shares[error.node].activations,
            shares[error.node].weights,
        )
        for error in errors.layers
        if error.node in shares
    )


def summary(report: Report) -> str:
    """Return the whole file's values in one line."""
    errors, noise = report.errors, report.noise
    return (
        f"logits {noise.sqnr_db:.1f} dB · {errors.same_answer} of {errors.photos} answers are the float network's · "
        f"noise: weights {noise.weights:.0%}, activations {noise.activations:.0%}"
    )
