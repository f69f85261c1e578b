"""A bundle whose answers are known, for the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import tiny_model

from edgenet.bundle import write_bundle
from edgenet.manifest import Facts, Weights


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 8x8 pixels that distinguishes red from green and blue."""
    path = tmp_path_factory.mktemp("colours") / "colours.edgenet"
    facts = Facts("colours", Weights("made for a test", "Apache-2.0"))
    write_bundle(path, tiny_model(), ["red", "green", "blue"], facts)
    return path
