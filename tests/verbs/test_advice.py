"""Each figure that matters changes the advice."""

from __future__ import annotations

import pytest

from edgenet.quantize.noise_shares import LayerShare, NoiseShares
from edgenet.quantize.quantization_errors import ChannelUse, LayerError, LayerErrors
from edgenet.workflows.layer_comparison import advise

EVEN = ChannelUse(576, 0, 0, 2.0, 7.0)


def errors(
    channels: ChannelUse = EVEN, saturated: float | None = 0.0, used: float = 1.0, cut_off: int | None = 0
) -> LayerErrors:
    layers = tuple(LayerError(name, 15.0, used, saturated, False, channels) for name in ("a", "b/depthwise"))
    return LayerErrors(32, 31, 0.01, 20.0, cut_off, False, layers)


def noise(
    sqnr: float, worst: float = 0.3, weights: float = 0.2, of_weights: float | None = None
) -> NoiseShares:
    layers = (
        LayerShare("image", 0.0, 0.0),
        LayerShare("a", 0.01, 0.1),
        LayerShare("b/depthwise", worst, of_weights),
    )
    return NoiseShares(8, sqnr, sqnr + 1, weights, 1 - weights, 1.0, layers)


def test_all_is_well() -> None:
    assert advise(errors(), noise(26.04, worst=0.05), "best") == (
        "All is well: 31 of 32 answers match the float network's, and the logits' SQNR is 26.0 dB; no layer stands out."
    )
    assert advise(errors(), noise(26.0), "best").endswith("share of the noise (30%) comes from b/depthwise.")


def test_logits_that_are_cut_off_are_named() -> None:
    for found in (noise(26.0), noise(15.0)):
        assert advise(errors(cut_off=3), found, "fast").endswith(
            "Logits saturate on 3 of 32 photos, so that classes of which the network is sure may tie: convert again "
            "with calibration photos that it is as sure of."
        )
        assert "saturate" not in advise(errors(cut_off=None), found, "fast")


def test_the_layer_its_reason_and_the_remedy() -> None:
    outliers = ChannelUse(576, 0, 3, 40.2, 3.0)
    assert advise(errors(outliers), noise(15.0), "minmax") == (
        "Most of the loss (80%) is in the activations; b/depthwise's output alone causes 30%: 3 of its 576 channels "
        "reach more than 8 times as far as the median, up to 40 times. "
        "Convert again with --recipe best."
    )


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (
            errors(ChannelUse(576, 0, 0, 7.0, 3.52)),
            "its channels differ so much that the median one uses only 3.5 bits",
        ),
        (errors(used=0.14), "these photos use only 14% of its range"),
        (errors(saturated=0.031), "3.1% of its values lie outside its range"),
        (errors(), "b/depthwise's output alone causes 30%."),
        (errors(saturated=None), "b/depthwise's output alone causes 30%."),
    ],
)
def test_reasons(found: LayerErrors, reason: str) -> None:
    assert reason in advise(found, noise(15.0), "best")


def test_saturation_asks_for_photos() -> None:
    assert "more calibration photos" in advise(errors(saturated=0.031), noise(15.0), "best")
    # where the layer is none of the worst, its saturation is not what costs
    assert "calibration" not in advise(errors(saturated=0.031), noise(15.0, worst=0.1), "best")


def test_spread_over_layers() -> None:
    text = advise(errors(), noise(15.0, worst=0.1), "minmax")
    assert "activations and is spread over many layers. Convert again" in text
    assert text.endswith("--recipe best.")


def test_weights() -> None:
    text = advise(errors(), noise(15.0, worst=0.02, weights=0.9, of_weights=0.6), "minmax")
    assert text.startswith(
        "Most of the loss (90%) is in the weights; b/depthwise's weights alone cause 60%. "
    )


def test_a_remedy_that_was_tried_is_not_advised_again() -> None:
    assert advise(errors(), noise(15.0), "best").endswith("no recipe that loses less.")


def test_layers_in_float_are_the_last_resort() -> None:
    last_resort = (
        "As a last resort, convert again with --keep-float b/depthwise: "
        "edgenet reports its gain and its cost."
    )
    assert advise(errors(), noise(15.0), "best", "b/depthwise").endswith(last_resort)
    for found, decibels, recipe in (
        (errors(), 15.0, "minmax"),
        (errors(), 15.0, None),
        (errors(), 26.0, "best"),
        (errors(saturated=0.031), 15.0, "best"),
    ):
        assert "--keep-float" not in advise(found, noise(decibels), recipe, "b/depthwise")


def test_weights_of_an_equalized_file() -> None:
    layers = (LayerShare("a", 0.01, None), LayerShare("b/depthwise", 0.09, None))
    found = NoiseShares(8, 15.0, 16.0, 0.9, 0.1, 1.0, layers)
    assert advise(errors(), found, "best", "auto").startswith(
        "Most of the loss (90%) is in the weights; in an equalized file it cannot be traced to single layers. "
        "As a last resort, convert again with --keep-float auto"
    )


def test_another_tools_file() -> None:
    text = advise(errors(), noise(15.0), None)
    assert text.endswith("Convert the float network with edgenet and --recipe best.")


def test_nothing_in_common() -> None:
    assert "--normalization" in advise(errors(), noise(-0.4), None)
