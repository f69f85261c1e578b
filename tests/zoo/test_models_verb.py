"""`edgenet models` as a function, as a table and as JSON."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from edgenet.cli.models import command
from edgenet.verbs.models import VariantRow, models
from edgenet.zoo.registry import catalogue


@pytest.fixture(scope="module")
def rows() -> dict[str, VariantRow]:
    return {row.variant: row for row in models()}


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(command)
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
    assert [name for name, row in rows.items() if row.pretrained] == ["mobilenet_v2_1.0_224"]
    assert rows["mobilenet_v2_0.35_96"].paper_top1 is None


def test_json_holds_every_row(rows: dict[str, VariantRow]) -> None:
    assert [VariantRow(**row) for row in json.loads(run("--json"))] == list(rows.values())


def test_table_fits_80_columns_and_cuts_nothing(rows: dict[str, VariantRow]) -> None:
    text = run()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert all(name in text for name in rows)
    assert "568.7" in text
    assert "ImageNet" in text
