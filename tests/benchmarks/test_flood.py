"""The benchmark of the flooded page measures what it says; how fast this machine is says nothing here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import tiny_model

from benchmarks.flood import CROWD, measure


@pytest.mark.slow
def test_both_kinds_of_turns_are_measured(tmp_path: Path) -> None:
    model = tmp_path / "tiny.tflite"
    model.write_bytes(tiny_model(size=32))
    quiet, flooded, opened = measure(model, turns=1, seconds=2)
    assert opened >= sum(CROWD.values())
    for turn in (*quiet, *flooded):
        assert turn.frames_per_s > 0
        assert turn.page_s
