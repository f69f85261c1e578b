"""A stand-in for benchmark_model, which prints what the real one has printed, and a model for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from benchmark_outputs import printing
from stand_in_program import stand_in
from tiny_model import tiny_model

Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Makes a stand-in that prints given outputs: of its runs, and with a profile."""

    def made(runs: str = "runs", profile: str = "delegated", **more: str) -> Path:
        path = tmp_path / "benchmark_model"
        path.write_bytes(stand_in(printing(runs, profile, **more)))
        path.chmod(0o755)
        return path

    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small .tflite."""
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_model(size=32))
    return path
