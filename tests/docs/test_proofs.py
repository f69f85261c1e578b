"""docs/operators.md names everything that is read, each with a test that there is."""

from __future__ import annotations

import re

from doc_pages import DOCS, ROOT

from edgenet.graph.keras_layers import IN_TRAINING_ONLY
from edgenet.graph.keras_layers import RULES as KERAS_LAYERS
from edgenet.graph.onnx_operators import RULES, RULES_OF_SEVERAL_OUTPUTS

PAGE = (DOCS / "operators.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## What is read, and the tests that prove it")[1].split("\n## ")[0]


def rows(heading: str) -> str:
    """Return the first column of the table with this heading."""
    table = SECTION.split(f"| {heading} | test |")[1].split("\n\n")[0]
    return " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| "))


def test_every_named_test_exists() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", SECTION))
    assert len(named) > 40
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_every_operator_and_layer_is_listed() -> None:
    operators, layers = (set(re.findall(r"\w+", rows(name))) for name in ("ONNX operator", "Keras layer"))
    assert sorted({*RULES, *RULES_OF_SEVERAL_OUTPUTS} - operators) == []
    assert sorted(KERAS_LAYERS.keys() - set(IN_TRAINING_ONLY) - layers) == []
