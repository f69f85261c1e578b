"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test data that is not part of the repository; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real photos and weights is not here")
    return SHARED_DATA
