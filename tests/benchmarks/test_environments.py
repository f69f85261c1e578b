"""Environments of peers are made once, made again when the requirements change, and never used unfinished."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import environments
from edgenet.errors import EdgenetError


def test_made_once_and_anew_when_requirements_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "envs")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    python = environments.python_of("peer", requirements)
    assert environments.site_packages(python).is_relative_to(tmp_path / "envs" / "peer")

    left_there = python.parent / "left-there"
    left_there.touch()
    assert environments.python_of("peer", requirements) == python
    assert left_there.exists()

    requirements.write_text(f"{tmp_path}/no-such-package.whl\n")
    for _ in range(2):  # the second call must not use the unfinished environment
        with pytest.raises(EdgenetError, match=r"no-such-package\.whl"):
            environments.python_of("peer", requirements)
    assert not left_there.exists()


def test_names_a_missing_requirements_file(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="no requirements file"):
        environments.python_of("peer", tmp_path / "absent.txt")
