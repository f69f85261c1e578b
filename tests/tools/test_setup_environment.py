"""`make setup`: what it installs, what it announces, and its errors when it cannot continue. It downloads nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_python import CPU_REPORT, CUDA_REPORT, VERSION, machine, torch_index

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files that the script reads; the script works in its own checkout, so the real one is safe."""
    (tmp_path / "tools").mkdir()
    shutil.copy2(ROOT / "tools" / "setup-environment", tmp_path / "tools")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def _setup(checkout: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "FOLDER": ".venv"} | variables
    script = checkout / "tools" / "setup-environment"
    return subprocess.run([script, *options], env=environment, capture_output=True, text=True, timeout=60)


def _commands(here: dict[str, str]) -> list[str]:
    """Return the arguments of every pip command since the last call."""
    log = Path(here["PIP_LOG"])
    if not log.exists():
        return []
    text = log.read_text()
    log.unlink()
    return text.splitlines()


def _locked(name: str) -> str:
    """Return the arguments of the pip command that installs one of the lists of requirements/."""
    compiled = "" if name == "installer" else "--no-compile "  # the packages are, all at once, at the end
    options = f"--require-hashes --no-deps --no-build-isolation {compiled}"
    return f"install --no-input {options}-r requirements/{name}.txt"


EDGENET_ITSELF = "install --no-input --no-build-isolation --no-deps --no-index -e ."


def _torch_command(here: dict[str, str]) -> str:
    (command,) = (line for line in _commands(here) if line.endswith(" torch"))
    return command


def test_missing_python(checkout: Path) -> None:
    done = _setup(checkout, PYTHON="no-such-python")
    assert done.returncode == 1
    assert "there is no 'no-such-python' here" in done.stderr


def test_old_python(checkout: Path) -> None:
    old = checkout / "old-python"
    old.write_text('#!/bin/sh\ncase "$2" in *print*) echo 3.9 ;; *) exit 1 ;; esac\n')
    old.chmod(0o755)
    done = _setup(checkout, PYTHON=str(old))
    assert done.returncode == 1
    assert "is Python 3.9; edgenet needs 3.10 to 3.14" in done.stderr


def test_python_without_venv(checkout: Path) -> None:
    (checkout / "ensurepip.py").write_text("raise ImportError('as on Debian')\n")
    done = _setup(checkout, PYTHONPATH=str(checkout))
    assert done.returncode == 1
    assert f"sudo apt install python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_never_clears_a_folder_that_is_not_an_environment(checkout: Path) -> None:
    (checkout / "photos").mkdir()
    (checkout / "photos" / "mine.jpg").write_bytes(b"precious")
    done = _setup(checkout, FOLDER="photos")
    assert done.returncode == 1
    assert "nothing was touched" in done.stderr
    assert (checkout / "photos" / "mine.jpg").read_bytes() == b"precious"


def test_unknown_option(checkout: Path) -> None:
    done = _setup(checkout, "--developer")
    assert done.returncode == 1
    assert "there is no option '--developer'" in done.stderr


def test_plan_changes_nothing(checkout: Path) -> None:
    here = machine(checkout / "bin")
    done = _setup(checkout, "--plan", **here)
    assert done.returncode == 0, done.stderr
    assert f"downloads about 370 MB and takes about 1.5 GB of disk in {checkout}/.venv" in done.stdout
    assert "The developers' tools (make setup-dev) add about 140 MB" in done.stdout
    assert "/home/somebody/pip-cache" in done.stdout
    assert "writes about 20 MB to edgenet-demo" in done.stdout
    assert "Nothing was changed" in done.stdout
    assert not (checkout / ".venv").exists()
    assert _commands(here) == []


def test_the_download_is_announced_first(checkout: Path) -> None:
    here = machine(checkout / "bin")
    done = _setup(checkout, **here)
    assert done.returncode == 0, done.stderr
    assert 0 < done.stdout.index("downloads about 370 MB") < done.stdout.index("1/4")
    assert "source .venv/bin/activate" in done.stdout[done.stdout.index("Ready for users") :]


def _wheel(processor: str) -> str:
    (version,) = re.findall(r"^torch==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return f"torch-{version}%2Bcpu-cp{VERSION}-cp{VERSION}-manylinux_2_28_{processor}.whl"


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_without_a_gpu_pytorch_is_the_cpu_build_of_its_own_index(checkout: Path, processor: str) -> None:
    with torch_index(_wheel(processor)) as index:
        here = machine(checkout / "bin", processor=processor) | {
            "TORCH_INDEX": index,
            "PIP_REPORT": CUDA_REPORT,
        }
        done = _setup(checkout, **here)
    assert done.returncode == 0, done.stderr
    assert f"PyTorch: the CPU build from {index}, because there is no NVIDIA GPU here." in done.stdout
    assert "CUDA" not in done.stdout
    assert f"-c constraints.txt --index-url {index} --no-deps torch" in _torch_command(here)


@pytest.mark.parametrize(("report", "size"), [(CPU_REPORT, "370 MB"), (CUDA_REPORT, "2.9 GB")])
def test_an_index_that_cannot_be_reached_is_one_line(checkout: Path, report: str, size: str) -> None:
    here = machine(checkout / "bin") | {"PIP_REPORT": report}
    done = _setup(checkout, **here)
    assert done.returncode == 0, done.stderr
    line = f"PyTorch: plain `pip install torch`, because {here['TORCH_INDEX']} cannot be reached."
    assert done.stdout.count(line) == 1
    assert done.stderr == ""
    assert f"downloads about {size} " in done.stdout
    assert ("That is the CUDA build" in done.stdout) == (report == CUDA_REPORT)
    assert _torch_command(here) == "install --no-input --no-compile -c constraints.txt torch"


def test_a_pip_that_does_not_say_which_build_it_takes(checkout: Path) -> None:
    here = machine(checkout / "bin") | {"PIP_REPORT": ""}
    done = _setup(checkout, "--plan", **here)
    assert (
        "If pip takes PyTorch's CUDA build, it is about 2.9 GB of download and 5.5 GB of disk." in done.stdout
    )


def test_an_index_without_a_build_for_this_machine(checkout: Path) -> None:
    with torch_index(_wheel("aarch64")) as index:
        here = machine(checkout / "bin") | {"TORCH_INDEX": index}
        done = _setup(checkout, **here)
    assert re.search(rf"{index} has no PyTorch \S+ for this Python and machine", done.stdout)
    assert _torch_command(here) == "install --no-input --no-compile -c constraints.txt torch"


@pytest.mark.parametrize("sign", ["nvidia-smi", "driver"])
def test_with_a_gpu_pytorch_is_the_cuda_build(checkout: Path, sign: str) -> None:
    with torch_index(_wheel("x86_64")) as index:
        here = machine(checkout / "bin", gpu=sign == "nvidia-smi") | {
            "TORCH_INDEX": index,
            "PIP_REPORT": CUDA_REPORT,
        }
        if sign == "driver":
            here["NVIDIA_DRIVER"] = str(checkout)
        done = _setup(checkout, **here)
    assert done.returncode == 0, done.stderr
    before = done.stdout[: done.stdout.index("1/4")]
    assert "downloads about 2.9 GB and takes about 5.5 GB" in before
    assert "because there is an NVIDIA GPU here" in before
    assert "That is the CUDA build" in before
    assert _torch_command(here) == "install --no-input --no-compile -c constraints.txt torch"


def test_other_systems_take_plain_pytorch(checkout: Path) -> None:
    with torch_index(_wheel("x86_64")) as index:
        here = machine(checkout / "bin", "Darwin", "arm64") | {"TORCH_INDEX": index}
        done = _setup(checkout, **here)
    assert "which is a CPU build on this system" in done.stdout
    assert _torch_command(here) == "install --no-input --no-compile -c constraints.txt torch"


def test_torch_args_win_and_need_not_be_repeated(checkout: Path) -> None:
    with torch_index(_wheel("x86_64")) as index:
        here = machine(checkout / "bin", gpu=True) | {"TORCH_INDEX": index}
        done = _setup(checkout, **here | {"TORCH_ARGS": "--index-url https://example.org/rocm"})
        assert done.returncode == 0, done.stderr
        assert "`pip install --index-url https://example.org/rocm torch`, as TORCH_ARGS says" in done.stdout
        assert "--index-url https://example.org/rocm torch" in _torch_command(here)
        _setup(checkout, **here)
        assert _commands(here) == []


def test_users_get_no_developer_tools(checkout: Path) -> None:
    here = machine(checkout / "bin")
    done = _setup(checkout, **here)
    assert done.returncode == 0, done.stderr
    installer, packages, torch, itself = _commands(here)
    assert (installer, packages, itself) == (_locked("installer"), _locked("users"), EDGENET_ITSELF)
    assert torch.endswith(" torch")
    assert not any(
        text in (ROOT / "requirements" / "users.txt").read_text() for text in ("pytest==", "ruff==")
    )


@pytest.mark.slow
def test_developers_tools_are_added_once(checkout: Path) -> None:
    here = machine(checkout / "bin")
    _setup(checkout, **here)
    _commands(here)
    added = _setup(checkout, "--dev", **here)
    assert "downloads about 140 MB more and takes about 470 MB more" in added.stdout
    assert "Ready for developers" in added.stdout
    assert _commands(here) == [_locked("developers")]
    for options in ([], ["--dev"], []):
        again = _setup(checkout, *options, "--quiet", **here)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert _commands(here) == []
    assert "there is nothing to download" in _setup(checkout, **here).stdout


def test_packages_are_compiled_all_at_once(checkout: Path) -> None:
    """pip does not. A file that is no Python of this version, such as a template, ends nothing; tests are left out."""
    here = machine(checkout / "bin")
    _setup(checkout, **here)
    packages = checkout / ".venv" / "lib" / "python3" / "site-packages" / "package"
    packages.mkdir(parents=True)
    (packages / "sound.py").write_text("one = 1\n")
    (packages / "template.py").write_text("{{ name }} = = 1\n")
    (packages / "tests").mkdir()
    (packages / "tests" / "test_sound.py").write_text("one = 1\n")
    done = _setup(checkout, "--dev", **here)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name.partition(".")[0] for path in packages.rglob("*.pyc")] == ["sound"]


@pytest.mark.slow
def test_developers_set_up_serves_users_and_stays_the_developers(checkout: Path) -> None:
    here = machine(checkout / "bin")
    fresh = _setup(checkout, "--dev", **here)
    assert "downloads about 510 MB and takes about 1.9 GB" in fresh.stdout
    commands = _commands(here)
    assert len(commands) == 4
    assert commands[1] == _locked("developers")
    for name in ("constraints.txt", "requirements/developers.txt"):
        _setup(checkout, **here)
        assert _commands(here) == []
        with (checkout / name).open("a") as constraints:
            constraints.write("# newer\n")
        _setup(checkout, **here)
        assert _locked("developers") in _commands(here)


def test_a_failure_says_what_to_do_and_the_next_run_finishes(checkout: Path) -> None:
    here = machine(checkout / "bin")
    failed = _setup(checkout, **here | {"PIP_FAILS": "-e ."})
    assert failed.returncode == 1
    assert "no network" in failed.stderr
    assert "then run the same command again" in failed.stderr
    _commands(here)
    done = _setup(checkout, **here)
    assert done.returncode == 0, done.stderr
    assert "Going on with edgenet for users" in done.stdout
    assert "at most about 370 MB" in done.stdout
    assert re.search(r"PyTorch: \S+ is installed already", done.stdout)


def test_users_keep_what_they_have_if_the_developers_tools_fail(checkout: Path) -> None:
    here = machine(checkout / "bin")
    _setup(checkout, **here)
    assert _setup(checkout, "--dev", **here | {"PIP_FAILS": "developers"}).returncode == 1
    _commands(here)
    assert _setup(checkout, "--quiet", **here).stdout == ""
    assert _commands(here) == []


def test_a_stop_says_how_to_go_on(checkout: Path) -> None:
    here = machine(checkout / "bin")
    environment = os.environ | here | {"PIP_HANGS": " torch"}
    script = checkout / "tools" / "setup-environment"
    with subprocess.Popen(
        [script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        log = Path(here["PIP_LOG"])
        while run.poll() is None and not (log.exists() and log.read_text().endswith(" torch\n")):
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Run the same command again to go on" in err
    _commands(here)
    done = _setup(checkout, **here)
    assert done.returncode == 0, done.stderr
    assert len(_commands(here)) == 4


def test_packages_that_a_killed_pip_left_are_installed_anew(checkout: Path) -> None:
    here = machine(checkout / "bin")
    _setup(checkout, **here | {"PIP_FAILS": "-e ."})
    packages = checkout / ".venv" / "lib" / "python3" / "site-packages"
    whole, half = packages / "whole-1.0.dist-info", packages / "half-1.0.dist-info"
    for folder in (whole, half):
        folder.mkdir(parents=True)
        (folder / "METADATA").touch()
    (whole / "INSTALLER").touch()
    _setup(checkout, **here)
    assert (whole.exists(), half.exists()) == (True, False)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(
    ("target", "options"),
    [("plan", "--plan"), ("setup", ""), ("setup-dev", "--dev"), ("demo", "--quiet")]
    + [(target, "--quiet --dev") for target in ("test", "test-quick", "check", "format")],
)
def test_each_target_makes_the_environment_that_it_needs(target: str, options: str) -> None:
    environment = {
        name: text for name, text in os.environ.items() if name != "MAKEFLAGS"
    }  # of `make test` itself
    done = subprocess.run(["make", "-n", target], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if "setup-environment" in line]
    assert lines == [["tools/setup-environment", *options.split()]]


def test_a_clone_named_edgenet_does_not_hide_the_package(tmp_path: Path) -> None:
    """In the folder above such a clone, Python would otherwise take the clone for an empty package."""
    (tmp_path / "edgenet").mkdir()
    code = "import edgenet; print(edgenet.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
