"""docs/Dockerfile, read without Docker: it installs what README says is needed, and copies no environment in."""

from __future__ import annotations

import re

from doc_pages import DOCS, README, ROOT

DOCKERFILE = (DOCS / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, with continued lines joined and comments left out."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in text.splitlines() if line.strip()
    ]


def test_every_line_is_an_instruction_and_the_image_begins_with_its_base() -> None:
    found = instructions()
    assert {name for name, _ in found} <= {
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "USER",
        "WORKDIR",
        "ENTRYPOINT",
        "CMD",
    }
    assert found[0][0] == "FROM"


def test_it_has_the_system_packages_that_readme_names() -> None:
    [line] = re.findall(r"`sudo apt install ([^`]+)`", README.read_text(encoding="utf-8"))
    installed = next(text for name, text in instructions() if name == "RUN" and "apt-get install" in text)
    # The image's own Python makes virtual environments.
    assert set(line.split()) - {"python3-venv"} <= set(installed.split())


def test_its_python_is_one_that_edgenet_supports() -> None:
    version = re.search(r"FROM python:(3\.\d+)-", DOCKERFILE)
    assert version
    assert f"Python :: {version[1]}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_it_runs_as_a_plain_user_in_a_folder_of_that_user() -> None:
    names = dict(instructions())
    assert names["USER"] == "edgenet"
    assert f"install -d -o edgenet {names['WORKDIR']}" in DOCKERFILE


def test_what_git_ignores_is_not_copied_in() -> None:
    left_out = (DOCS / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (".venv", ".envs", "build", "dist", "edgenet-demo"):
        assert name in left_out
