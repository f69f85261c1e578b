"""Python environments for the peers that we compare with; each has its own, because their packages clash with ours.

    python = python_of("keras_tflite", Path("benchmarks/peers/keras_tflite/requirements.txt"))
    subprocess.run([python, "convert.py", ...], env=importable_project())

They are under `.envs/`, which git ignores. An environment is made again only when its requirements or Python change.

Libraries of other makers whose networks the tests compare with ours (timm, torchvision, Keras, OpenVINO) run beside our
own packages, which makes them small. This command brings them, 240 MB in a few seconds:

    .venv/bin/python -m benchmarks.environments
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgenet.errors import EdgenetError

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".envs"
MAKERS, MAKERS_REQUIREMENTS = ENVIRONMENTS / "makers", ROOT / "tests" / "makers.txt"
_STAMP = "requirements.sha256"


def python_of(name: str, requirements: Path) -> Path:
    """Return the interpreter of the environment `name`, which has exactly the packages that `requirements` lists.

    The first call installs them (minutes; gigabytes for TensorFlow) and says so on stderr; later calls are instant.
    Two processes may call this at the same time; the second waits for the first.

    Args:
        name: the folder's name under `.envs/`.
        requirements: a pip requirements file with pinned versions.

    Raises:
        EdgenetError: the requirements file does not exist, or the environment cannot be made or filled; the message
            has the end of pip's output. An unfinished environment is never used.
    """
    if not requirements.is_file():
        raise EdgenetError(f"no requirements file {requirements}", "name one under benchmarks/peers/")
    wanted = _fingerprint(requirements)
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with _locked(ENVIRONMENTS / f"{name}.lock"):
        stamp = folder / _STAMP
        if python.exists() and stamp.is_file() and stamp.read_text().strip() == wanted:
            return python
        _build(folder, requirements)
        stamp.write_text(wanted + "\n")
    return python


def packages_beside(folder: Path, requirements: Path) -> None:
    """Fill a folder with packages that run beside ours: their own requirements, such as torch, are not installed.

    A process finds them with this folder in its PYTHONPATH. A folder with just these packages is left as it is.

    Raises:
        EdgenetError: the packages cannot be had; the message has the end of pip's output.
    """
    folder.parent.mkdir(exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        stamp = folder / _STAMP
        if stamp.is_file() and stamp.read_text().strip() == _fingerprint(requirements):
            return
        unfinished = folder.with_suffix(".unfinished")
        for old in (folder, unfinished):
            shutil.rmtree(old, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        install = [*pip, "--target", str(unfinished), "-r", str(requirements)]
        _call(install, "check the network and the free space")
        (unfinished / _STAMP).write_text(_fingerprint(requirements) + "\n")
        unfinished.rename(folder)


def importable_project(tree: Path = ROOT) -> dict[str, str]:
    """Return this process's environment variables, with a PYTHONPATH on which every interpreter finds this project.

    The interpreter keeps the byte code of what it imports: nothing was compiled when the environment was made.

    Args:
        tree: the checkout whose code is to be found.
    """
    path = os.pathsep.join(map(str, (tree, tree / "device_scripts")))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}


def site_packages(python: Path) -> Path:
    """Return the folder with the installed packages of the environment of `python`."""
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", query], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def _fingerprint(requirements: Path) -> str:
    """Return the SHA-256 of the requirements and the Python version, because wheels differ between minor versions."""
    version = f"python {sys.version_info.major}.{sys.version_info.minor}\n"
    return hashlib.sha256(version.encode() + requirements.read_bytes()).hexdigest()


def _build(folder: Path, requirements: Path) -> None:
    """Make a new environment in `folder`, replacing an older one."""
    print(f"making .envs/{folder.name} from {requirements.name} (once) ...", file=sys.stderr, flush=True)
    start = time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    # This is the base interpreter, not that of our own environment, so that a peer does not see our packages.
    base = getattr(sys, "_base_executable", sys.executable)
    _call([base, "-m", "venv", "--without-pip", str(folder)], "check the free space and the folder's rights")
    # Our own pip installs the packages, which is quicker than installing another pip first.
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "--disable-pip-version-check",
    ]
    # A peer imports a small part of its packages, and compiling all of them takes as long as installing them.
    _call(
        [*pip, "install", "--quiet", "--no-compile", "-r", str(requirements)],
        "check the network and the free space; peers are pinned for Python 3.11",
    )
    print(f"made .envs/{folder.name} in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


def _call(command: list[str], remedy: str) -> None:
    """Run a command; if it fails, raise an error with the end of its output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-8:])
        said = f"`{' '.join(command)}` exited with {done.returncode}; its output ends:\n{tail}\n"
        raise EdgenetError(said, remedy)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the system releases it even if this process is killed."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Bring the libraries of other makers; return 1 and print one line if they cannot be had."""
    try:
        packages_beside(MAKERS, MAKERS_REQUIREMENTS)
    except EdgenetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
