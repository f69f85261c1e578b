"""`benchmarks.doors` counts what is taken, says which option a file needed, and why a file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_classifiers import classifier_file

from benchmarks import doors


@pytest.mark.slow
def test_files_are_tried_counted_and_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "float.tflite").write_bytes(classifier_file())
    torch.save({"conv1.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "theirs.pth")
    found = [doors.tried(path, {"normalization": "-1..1"}) for path in sorted(tmp_path.iterdir())]
    assert [(door.kind, door.taken, door.told) for door in found] == [
        ("float colour .tflite", True, ("-1..1",)),
        ("checkpoint of PyTorch", False, ()),
    ]
    text = doors.tables(found)
    assert "| float.tflite | yes | yes | yes | yes | yes | yes | -1..1 |" in text
    assert "| theirs.pth | no |  |  |  |" in text
    assert "- theirs.pth, convert: " in text
    assert "| checkpoint of PyTorch | 1 | 0 |" in text
