"""A few kills of a training: it is continued to the same bytes, and a difference would be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kills import NETWORK, _difference, _digests, kill_all


@pytest.mark.slow
def test_a_training_that_is_killed_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """With this seed one run is killed twice: with all its processes while it trains, then alone once continued."""
    tallies = kill_all(tmp_path, count=2, seed=51, only=["train"])
    assert tallies["train"].faults == []
    assert tallies["train"].kills >= 2
    assert tallies["train"].same >= 1
    found = _digests(tmp_path / "whole" / "train")
    assert {f"{NETWORK}.safetensors", "log.csv", "classes.csv"} <= set(found)


def test_a_difference_is_told_and_times_are_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, seconds, weights in ((first, "1.5", b"1"), (second, "2.5", b"2")):
        folder.mkdir()
        (folder / "log.csv").write_text(f"epoch,loss,computing_s\n1,0.5,{seconds}\n")
        (folder / "n.safetensors").write_bytes(weights)
    assert _difference(_digests(first), _digests(second)) == "n.safetensors differ"
    assert _difference(_digests(first), _digests(first)) is None
    (second / "log.csv").write_text("epoch,loss,computing_s\n1,0.6,1.5\n")
    assert _difference(_digests(first), _digests(second)) == "log.csv, n.safetensors differ"
