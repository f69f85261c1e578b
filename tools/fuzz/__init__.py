"""The nightly fuzz: damaged and hostile inputs for every reader of files, texts and requests from outside.

`make fuzz MINUTES=10` runs all targets; `python -m tools.fuzz --help` lists what else there is. The seeds are made with
the helpers of the tests, so their folders are put on the path here.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# First, so that it is this copy of the device's package that is tried, whatever else is installed.
sys.path.insert(0, str(ROOT / "device_scripts"))
sys.path += [str(ROOT / "tests" / folder) for folder in (".", "tflite", "graph", "bundle")]
