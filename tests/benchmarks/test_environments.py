"""Environments of peers are made once, made again when the requirements change, and never used unfinished."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks import environments
from edgenet.errors import EdgenetError


@pytest.mark.slow
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


def test_packages_beside_ours_are_brought_once_and_without_their_requirements(tmp_path: Path) -> None:
    wheel = tmp_path / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small.py", "")
        archive.writestr(
            "small-1.0.dist-info/METADATA", "Name: small\nVersion: 1.0\nRequires-Dist: no-such-package\n"
        )
        archive.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("small-1.0.dist-info/RECORD", "")
    requirements, folder = tmp_path / "requirements.txt", tmp_path / "envs" / "makers"
    requirements.write_text(f"{wheel}\n")
    for _ in range(2):
        environments.packages_beside(folder, requirements)
        assert (folder / "small.py").is_file()
        wheel.unlink(missing_ok=True)  # the second call does not need it
    requirements.write_text("# other packages\n" + requirements.read_text())
    with pytest.raises(EdgenetError, match=r"small-1\.0"):
        environments.packages_beside(folder, requirements)
    assert not folder.exists()


def test_names_a_missing_requirements_file(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="no requirements file"):
        environments.python_of("peer", tmp_path / "absent.txt")
