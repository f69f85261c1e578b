"""The checked-in table of costs says what the torch modules say, and listing it needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgenet.workflows.models import compare_with_papers, models
from edgenet.zoo.catalogue import variants_with_weights
from edgenet.zoo.counting import count_variant
from edgenet.zoo.paper import FIGURES, TABLE, VariantCost, costs_csv, read_costs
from edgenet.zoo.registry import ARCHITECTURES, catalogue


def test_the_table_has_every_variant_in_order() -> None:
    assert [row.variant for row in read_costs()] == [variant.name for variant in catalogue()]


@pytest.mark.slow
def test_every_row_equals_what_the_modules_count() -> None:
    for variant, row in zip(catalogue(), read_costs(), strict=True):
        cost = count_variant(variant.name)
        family = ARCHITECTURES[variant.architecture].family
        known = variant.name in variants_with_weights()
        assert row == VariantCost(variant.name, family, cost.mult_adds, cost.parameters, known)


def test_the_text_is_what_the_tool_writes() -> None:
    assert costs_csv(read_costs()) == TABLE.read_text(encoding="utf-8")


def test_every_published_variant_is_in_the_table() -> None:
    assert {row.variant for row in FIGURES} <= {row.variant for row in read_costs()}
    assert len(compare_with_papers()) == len(FIGURES)
    assert len(models()) == len(read_costs())


@pytest.mark.parametrize(
    "options", [(), ("--json",), ("--paper",), ("--paper", "--json"), ("--weights",)], ids=str
)
def test_listing_imports_neither_torch_nor_numpy(options: tuple[str, ...]) -> None:
    code = f"""
import sys
from edgenet.commands.app import main
sys.argv = ["edgenet", "models", *{options!r}]
try:
    main()
finally:
    heavy = ("torch", "numpy", "cv2", "onnx", "matplotlib", "ai_edge_litert", "safetensors")
    print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mobilenet_v1_0.5_160" in done.stdout
    assert done.stderr.strip() == "[]"
