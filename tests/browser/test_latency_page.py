"""The latency page in a real Chromium: nothing is fetched, nothing is wider than a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latency_reports import accurate, latency, written

import edgenet


def test_the_page_needs_nothing_and_fits_a_phone(chromium: Any, tmp_path: Path) -> None:
    reports = [
        written(tmp_path / "a.json", accurate(latency("mobilenet_v1_0.25_128", 2.0), 60.0)),
        written(
            tmp_path / "b.json",
            accurate(latency("mobilenet_v1_1.0_224", 9.0, valid=False, reasons=["unsteady"]), 70.0),
        ),
    ]
    edgenet.report(reports, tmp_path / "page.html")
    context = chromium.new_context(viewport={"width": 390, "height": 800}, offline=True)
    page = context.new_page()
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    assert len(asked) == 1  # the page itself
    assert problems == []
    assert page.locator("svg").count() == 3
    assert page.locator("tr.invalid").count() == 1
    assert page.locator(".why li").inner_text() == "mobilenet_v1_1.0_224: unsteady"
    assert page.locator(".warning").inner_text().startswith("1 of 2 measurements are not valid to quote.")
    assert "70.00" not in page.locator(".cards").inner_text()  # the better one is not valid
    headings = [" ".join(text.split()) for text in page.locator("th").all_inner_texts()]
    figures = dict(zip(headings, page.locator("tbody tr").first.locator("td").all_inner_texts(), strict=True))
    assert (figures["p50 ms"], figures["file MB"], figures["int8 top-1 %"]) == ("2.000", "0.50", "60.00*")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for figure in page.locator("svg").all():
        box = figure.bounding_box()
        assert box["width"] > 300
        assert box["height"] > 50
    context.close()
