"""A small bundle with every fact filled in, and a way to rebuild it wrongly."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_parts import FACTS, LABELS, Change
from tiny_model import tiny_model

from edgenet.bundle import write_bundle
from edgenet.files import stored_zip


@pytest.fixture(scope="session")
def model() -> bytes:
    return tiny_model()


@pytest.fixture
def bundle(tmp_path: Path, model: bytes) -> Path:
    path = tmp_path / "good.edgenet"
    write_bundle(path, model, LABELS, FACTS)
    return path


@pytest.fixture
def rebuilt(bundle: Path) -> Callable[[Change], Path]:
    """A function that makes a well-formed zip of the bundle's members after a change to them."""

    def rebuild(change: Change) -> Path:
        with zipfile.ZipFile(bundle) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        path = bundle.with_name("changed.edgenet")
        path.write_bytes(stored_zip(change(members)))
        return path

    return rebuild
