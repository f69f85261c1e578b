"""The paper's comparison with a small network: files, turns, table, figure; and the answers from known figures."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgenet
from benchmarks.comparing.tables import END, put_into
from benchmarks.paper import (
    IN_README,
    MARK,
    NETWORKS,
    README_MARK,
    Measured,
    Network,
    answers,
    figure,
    measure,
    readme_table,
    report,
)
from edgenet.errors import EdgenetError
from edgenet.figures.style import png

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
COSTS = {row.variant: row for row in edgenet.models()}


def known(name: str, p50_ms: float, valid: bool = True) -> Network:
    return Network(COSTS[name], 1_000_000, p50_ms, None, valid)


def test_every_network_of_the_comparison_is_in_the_catalogue() -> None:
    assert set(NETWORKS) <= set(COSTS)
    assert len(set(NETWORKS)) == len(NETWORKS)


def test_the_question_is_answered_by_the_ratios() -> None:
    networks = (known("mobilenet_v1_1.0_224", 2.0), known("vgg16_1.0_224", 30.0))
    measured = Measured("a board", 1, networks, ())
    assert answers(measured) == ["- vgg16 has 27.2 times the mult-adds of v1, and takes 15.0 times as long."]
    text = report(measured)
    assert "| vgg16_1.0_224 " in text
    assert "Not valid" not in text
    assert answers(Measured("a board", 1, networks[1:], ())) == []  # nothing to compare with
    assert png(figure(Measured("a board", 1, networks[1:], ())))


def test_what_is_not_valid_is_marked() -> None:
    networks = (known("mobilenet_v1_1.0_224", 2.0), known("vgg16_1.0_224", 30.0, valid=False))
    text = report(Measured("a board", 1, networks, ("vgg16_1.0_224 in int8 (other load)",)))
    assert "**Not valid to quote**: vgg16_1.0_224 in int8 (other load)." in text
    assert "30.00 (not valid)" in text


def test_the_page_has_a_place_for_the_table() -> None:
    changed = put_into(DOCUMENT.read_text(encoding="utf-8"), "the table", MARK)
    assert f"{MARK}\n\nthe table\n\n{END}" in changed
    assert "## Beside other tools: the figures" in changed


def test_readme_has_a_place_for_the_short_table() -> None:
    measured = Measured("a board", 1, (known("mobilenet_v2_1.0_224", 1.5), known("vgg16_1.0_224", 30.0)), ())
    table = readme_table(measured)
    assert table.splitlines()[2:3] == ["| `mobilenet_v2_1.0_224` | 71.9 | 1.0 | 1.50 |"]
    assert "vgg16" not in table
    assert table in put_into(README.read_text(encoding="utf-8"), table, README_MARK)
    weights = {row.variant for row in edgenet.list_weights() if row.default}
    assert set(IN_README) <= weights & set(NETWORKS)


def test_a_network_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="there is no variant lenet"):
        measure(["lenet"], tmp_path, "local", 1, settle_s=0)


@pytest.mark.slow
def test_a_small_network(tmp_path: Path) -> None:
    listed = ["mobilenet_v1_0.25_128"]
    found = measure(listed, tmp_path, "local", 1, settle_s=0)
    assert [one.cost.variant for one in found.networks] == listed
    assert all(one.p50_ms > 0 and one.bytes > 100_000 for one in found.networks)
    assert png(figure(found)).startswith(b"\x89PNG")
