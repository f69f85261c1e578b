"""The checklist for real hardware, tested without hardware. The whole checklist was run by hand on a virtual Pi."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_model import tiny_model

TOOL = Path(__file__).resolve().parents[2] / "tools" / "hardware-checklist"


@pytest.mark.parametrize("target", ["ssh:127.0.0.1:1", "adb:NONE"])
def test_a_device_that_is_not_there_is_one_line(tmp_path: Path, target: str) -> None:
    model = tmp_path / "tiny.tflite"
    model.write_bytes(tiny_model())
    command = [sys.executable, str(TOOL), target, str(model), "--no-hands"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL  ")
    assert "Traceback" not in done.stdout + done.stderr
