"""Lets tests of choosing networks time each of them for a moment instead of a second."""

from __future__ import annotations

from functools import partial

import pytest

from edgenet.latency.options import BenchOptions
from edgenet.workflows import sweep_plan


def time_briefly(patch: pytest.MonkeyPatch) -> None:
    """Make `sweep` and `select` time a network with at least 5 runs and 50 ms."""
    patch.setattr(sweep_plan, "BenchOptions", partial(BenchOptions, runs=5, min_seconds=0.05))
