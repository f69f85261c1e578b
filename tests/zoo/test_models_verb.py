"""`edgenet models` as a function, as a table and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from edgenet.commands.models import models_command
from edgenet.workflows.models import PaperRow, VariantRow, compare_with_papers, models
from edgenet.zoo.catalogue import variants_with_weights
from edgenet.zoo.paper import FIGURES
from edgenet.zoo.registry import catalogue


@pytest.fixture(scope="module")
def rows() -> dict[str, VariantRow]:
    return {row.variant: row for row in models()}


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(models_command)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_every_variant_is_counted(rows: dict[str, VariantRow]) -> None:
    assert list(rows) == [variant.name for variant in catalogue()]
    full, small = rows["mobilenet_v1_1.0_224"], rows["mobilenet_v1_1.0_128"]
    assert (full.mult_adds, full.parameters) == (568_740_352, 4_209_088)
    assert (small.mult_adds, small.parameters) == (186_400_768, 4_209_088)
    assert (full.paper_mult_adds_millions, full.paper_parameters_millions, full.paper_top1) == (
        569,
        4.2,
        70.6,
    )
    assert {name for name, row in rows.items() if row.pretrained} == set(variants_with_weights()) & set(rows)
    assert not rows["mobilenet_v2_1.4_96"].pretrained
    assert rows["mobilenet_v2_0.35_96"].paper_top1 is None


def test_json_holds_every_row(rows: dict[str, VariantRow]) -> None:
    assert [VariantRow(**row) for row in json.loads(run("--json"))] == list(rows.values())


def test_table_fits_80_columns_and_cuts_nothing(rows: dict[str, VariantRow]) -> None:
    text = run()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert all(name in text for name in rows)
    assert "568.7" in text
    starred = [line.split()[0].rstrip("*") for line in text.splitlines() if "* " in line]
    assert starred == [name for name, row in rows.items() if row.pretrained]


def test_families_have_headings_in_order() -> None:
    lines = [line.strip() for line in run().splitlines()]
    places = [lines.index(name) for name in ("MobileNetV1", "MobileNetV2", "MobileNetV3", "MobileNetV4")]
    assert places == sorted(places)
    assert lines[places[2] + 1].startswith("mobilenet_v3_large_1.0_224")


def test_paper_as_json() -> None:
    found = [PaperRow(**row) for row in json.loads(run("--paper", "--json"))]
    assert found == list(compare_with_papers())
    assert [row.variant for row in found] == [row.variant for row in FIGURES]
    by_name = {row.variant: row for row in found}
    full = by_name["mobilenet_v1_1.0_224"]
    assert (full.mult_adds, full.mult_adds_equal, full.parameters_equal) == (568_740_352, True, True)
    vgg = by_name["vgg16_1.0_224"]
    assert (vgg.mult_adds_equal, vgg.parameters_equal) == (False, True)
    assert "15346.6" in vgg.mult_adds_why
    assert by_name["xception_1.0_299"].mult_adds_equal is None


def test_paper_as_a_table_gives_every_reason_once() -> None:
    text = run("--paper")
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    joined = " ".join(text.split())
    reasons = {why for row in FIGURES for why in (row.mult_adds_why, row.parameters_why) if why}
    assert all(joined.count(why) == 1 for why in reasons)
    vgg = next(line for line in text.splitlines() if "vgg16" in line).split()
    number = vgg[3]
    assert f" {number}: the fully connected layers are left out" in joined
    assert vgg[4:] == ["138.34", "138", "="]
    assert f"of {2 * len(FIGURES) - 1} figures equal the published ones" in joined


def test_listing_needs_no_compiler() -> None:
    """torch's symbolic shapes and compiler take seconds to import; counting goes without."""
    script = (
        "import sys; from edgenet.workflows.models import models; models();"
        "print([name for name in ('sympy', 'torch._dynamo') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
