"""A short soak: its measurements of the camera are complete, and the camera reconnects after the stream breaks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import tiny_model

from benchmarks.soak import TENTHS, soak


@pytest.mark.slow
def test_frames_come_through_broken_streams(tmp_path: Path) -> None:
    model = tmp_path / "tiny.tflite"
    model.write_bytes(tiny_model(size=32))
    tenths, connections, status = soak(model, 300, 2, tmp_path / "log")
    assert (connections, status) == (3, 0)
    assert (tmp_path / "log").read_text().count("the camera is back") == 2
    assert [len(tenth.ms) for tenth in tenths] == [30] * TENTHS
    assert all(tenth.mib > 10 for tenth in tenths)
