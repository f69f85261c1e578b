"""The folder of the examples, made once, and a copy of it for each test that asks for one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from example_folder import make_example_folder


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the examples; not to be changed."""
    folder = tmp_path_factory.mktemp("examples") / "examples"
    folder.mkdir()
    make_example_folder(folder)
    return folder


@pytest.fixture
def here(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of the examples, which is also the current folder."""
    folder = Path(shutil.copytree(examples, tmp_path / "here"))
    monkeypatch.chdir(folder)
    return folder
