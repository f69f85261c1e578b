"""Completion in a shell: the script for bash is installed, and bash then completes verbs, options and choices."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import SCRIPT

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `edgenet --show-completion` prints to a bash."""
    path = tmp_path_factory.mktemp("completion") / "edgenet.sh"
    path.write_text(run(f"{SCRIPT} --show-completion"))
    return path


def run(command: str, home: Path | None = None) -> str:
    """What a bash prints; the command must not be its last, or the bash would become it."""
    assert BASH is not None
    environment = {"HOME": str(home or Path.home()), "PATH": f"{SCRIPT.parent}:/usr/bin:/bin"}
    done = subprocess.run(
        [BASH, "--norc", "-c", f"{command}; true"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def completed(script: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    ask = f'COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _edgenet_completion edgenet; echo "${{COMPREPLY[*]}}"'
    return run(f"source {script}; {ask}").split()


def test_a_verb_is_completed(script: Path) -> None:
    assert completed(script, "edgenet", "conv") == ["convert"]
    assert {"train", "convert", "deploy", "bench"} <= set(completed(script, "edgenet", ""))


def test_an_option_is_completed_and_an_older_name_is_not_offered(script: Path) -> None:
    assert completed(script, "edgenet", "convert", "--rec") == ["--recipe"]
    assert "--quantization" not in completed(script, "edgenet", "convert", "--")


@pytest.mark.parametrize("verb", ["convert", "train", "sweep", "select"])
def test_recipes_are_completed(script: Path, verb: str) -> None:
    assert completed(script, "edgenet", verb, "--recipe", "") == ["minmax", "fast", "balanced", "best"]
    assert completed(script, "edgenet", verb, "--recipe", "b") == ["balanced", "best"]


def test_architectures_are_completed(script: Path) -> None:
    offered = completed(script, "edgenet", "sweep", "--architecture", "mobilenet_v4")
    assert offered == ["mobilenet_v4_conv_small", "mobilenet_v4_conv_medium", "mobilenet_v4_conv_large"]


def test_completion_is_installed_for_bash(tmp_path: Path) -> None:
    assert "bash completion installed" in run(f"{SCRIPT} --install-completion", tmp_path)
    (installed,) = tmp_path.rglob("edgenet.sh")
    assert str(installed) in (tmp_path / ".bashrc").read_text()
    assert completed(installed, "edgenet", "eva") == ["evaluate"]


def test_a_wrong_value_does_not_disturb_completion(script: Path) -> None:
    assert completed(script, "edgenet", "bench", "--on", "moon", "--prot") == ["--protocol"]
