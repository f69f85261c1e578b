"""A sentence or two on where an int8 file loses accuracy and what to do about it, from measured figures alone."""

from __future__ import annotations

from collections.abc import Mapping

from edgenet.quantize.channels import OUTLIER, ChannelUse
from edgenet.quantize.error import LayerError, LayerErrors
from edgenet.quantize.noise_shares import LayerShare, NoiseShares
from edgenet.verbs.float_advice import ALONE

NOTHING_IN_COMMON_DB = 3.0
WELL_DB = 20.0
"""The logits' SQNR from which there is nothing to advise."""
SATURATED = 0.01
FEW_BITS = 5.0
LITTLE_RANGE = 0.5
BEST = "best"
"""The recipe that loses least."""


def advise(errors: LayerErrors, noise: NoiseShares, recipe: str | None, keep_float: str = "") -> str:
    """What the figures say, in plain words.

    Args:
        errors: layer by layer.
        noise: where the noise at the logits comes from.
        recipe: edgenet's that the file was made with; None for another tool's file.
        keep_float: see `worth_float`.
    """
    if noise.sqnr_db < NOTHING_IN_COMMON_DB:
        return (
            f"The file's answers have little in common with the float network's ({_db(noise.sqnr_db)}): it was "
            "made from another network, or takes its pixels in another way (see --normalize)."
        )
    worst = max(noise.layers, key=lambda layer: layer.total)
    if noise.sqnr_db >= WELL_DB:
        return f"All is well: {_agreement(errors)}, the logits keep {_db(noise.sqnr_db)}; {_most(worst)}"
    by_node = {error.node: error for error in errors.layers}
    return f"{_loss(noise)}{_worst(worst, noise, by_node)} {_remedy(worst, by_node, recipe, keep_float)}"


def _agreement(errors: LayerErrors) -> str:
    return f"{errors.same_answer} of {errors.photos} answers are the float network's"


def _most(worst: LayerShare) -> str:
    if worst.total < ALONE:
        return "no layer stands out."
    return f"the most noise, {worst.total:.0%} of it, comes from {worst.name}."


def _loss(noise: NoiseShares) -> str:
    name, share = "activations", noise.activations
    if noise.weights > noise.activations:
        name, share = "weights", noise.weights
    return f"Most of the loss ({share:.0%}) is in the {name}"


def _worst(worst: LayerShare, noise: NoiseShares, by_node: Mapping[str, LayerError]) -> str:
    if noise.hidden:
        return "; of an equalized file nobody can say which layers' weights."
    if worst.total < ALONE:
        return " and spread over many layers."
    if worst.of_weights:
        return f"; {worst.name}'s weights alone make {worst.weights:.0%}."
    cause = _cause(by_node.get(worst.node))
    return f"; {worst.name}'s output alone makes {worst.activations:.0%}{cause}."


def _cause(error: LayerError | None) -> str:
    """Why rounding this tensor is costly, where the figures show it."""
    if error is None or error.channels is None:
        return ""
    if error.saturated is not None and error.saturated > SATURATED:
        return f": {error.saturated:.1%} of its values lie beyond its range"
    if error.range_used is not None and error.range_used < LITTLE_RANGE:
        return f": these photos use {error.range_used:.0%} of its range"
    return _cause_in_channels(error.channels)


def _cause_in_channels(channels: ChannelUse) -> str:
    if channels.outliers:
        return (
            f": {channels.outliers} of its {channels.channels} channels reach more than {OUTLIER:g} times as far as "
            f"the median, up to {channels.reach:.0f} times"
        )
    if channels.median_bits < FEW_BITS:
        return f": its channels differ so much that the median one has {channels.median_bits:.1f} bits"
    return ""


def _remedy(worst: LayerShare, by_node: Mapping[str, LayerError], recipe: str | None, keep_float: str) -> str:
    error = by_node.get(worst.node) if worst.total >= ALONE else None
    if error is not None and (error.saturated or 0) > SATURATED:
        return "Convert again with more calibration photos, like those the camera will see."
    if recipe is None:  # its layers have other names in edgenet's files
        return f"Convert the float network with edgenet and --recipe {BEST}."
    if recipe != BEST:
        return f"Convert again with --recipe {BEST}."
    if keep_float:
        return f"As a last resort, convert again with --keep-float {keep_float}: it says what that gains and costs."
    return "edgenet has no recipe that loses less."


def _db(value: float) -> str:
    return f"{value:.1f} dB"
