"""The page of `edgenet inspect` in a real Chromium: its table fits a screen of 1280 pixels, the page a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgenet.figures.layer_report import LayerReport, LayerRow, write_layer_report
from edgenet.quantize.noise_shares import NoiseShares
from edgenet.quantize.quantization_errors import ChannelUse, LayerErrors

WIDE = "({ page: document.documentElement.scrollWidth, table: document.querySelector('table').scrollWidth })"


def report() -> LayerReport:
    """A report with the longest names that MobileNets have, and every column filled."""
    channels = ChannelUse(channels=960, dead=12, outliers=3, reach=123.4, median_bits=6.5)
    rows = tuple(
        LayerRow(
            f"features.{n}/layers/depthwise/conv", "DEPTHWISE_CONV_2D", 23.4, 0.98, 0.0123, channels, 0.1, 0.2
        )
        for n in range(10, 40)
    )
    errors = LayerErrors(4, 4, 0.01, 20.0, 0, False, ())
    noise = NoiseShares(
        photos=4, sqnr_db=21.0, weights_sqnr_db=25.0, weights=0.4, activations=0.6, explained=1.5, layers=()
    )
    return LayerReport("v2.tflite against mobilenet_v2_1.0_224", errors, noise, "All is well.", rows)


def test_nothing_is_cut(chromium: Any, tmp_path: Path) -> None:
    write_layer_report(tmp_path / "layers.html", report())
    for width in (1280, 390):
        context = chromium.new_context(viewport={"width": width, "height": 800}, offline=True)
        page = context.new_page()
        page.goto((tmp_path / "layers.html").as_uri())
        wide = page.evaluate(WIDE)
        assert wide["page"] <= width
        if width == 1280:
            assert wide["table"] <= 1280
        assert page.locator("h1").inner_text() == "v2.tflite against mobilenet_v2_1.0_224"
        assert page.locator("svg").text_content().count("against") == 0  # the page has its heading once
        context.close()
