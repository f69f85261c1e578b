"""Environments of their own for the peers that we compare with: their packages clash with ours.

    python = python_of("keras_tflite", Path("benchmarks/peers/keras_tflite/requirements.txt"))
    subprocess.run([python, "convert.py", ...])

They live under `.envs/`, which git ignores. One is made anew only when its requirements or Python change.
"""

from __future__ import annotations

import fcntl
import hashlib
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
_STAMP = "requirements.sha256"


def python_of(name: str, requirements: Path) -> Path:
    """The interpreter of the environment `name`, which holds exactly what `requirements` lists.

    The first call installs (minutes; gigabytes for TensorFlow) and says so on stderr; later ones are instant.
    Two processes may call at the same time: the second waits for the first.

    Args:
        name: the folder's name under `.envs/`.
        requirements: a pip requirements file with pinned versions.

    Raises:
        EdgenetError: the requirements file is not there, or the environment cannot be made or filled;
            the message ends with pip's own words. Nothing half made is ever taken for whole.
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


def site_packages(python: Path) -> Path:
    """The folder with the installed packages of the environment that `python` belongs to."""
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", query], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def _fingerprint(requirements: Path) -> str:
    """SHA-256 over the requirements and the Python version: wheels differ between minor versions."""
    version = f"python {sys.version_info.major}.{sys.version_info.minor}\n"
    return hashlib.sha256(version.encode() + requirements.read_bytes()).hexdigest()


def _build(folder: Path, requirements: Path) -> None:
    """A new environment in `folder`, in the place of whatever was there."""
    print(f"making .envs/{folder.name} from {requirements.name} (once) ...", file=sys.stderr, flush=True)
    start = time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    # The base interpreter, not that of our own environment: a peer must not see our packages.
    base = getattr(sys, "_base_executable", sys.executable)
    _call([base, "-m", "venv", "--without-pip", str(folder)], "check the free space and the folder's rights")
    # Our own pip fills it: quicker than installing another pip first.
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "--disable-pip-version-check",
    ]
    _call(
        [*pip, "install", "--quiet", "-r", str(requirements)],
        "check the network and the free space; peers are pinned for Python 3.11",
    )
    print(f"made .envs/{folder.name} in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


def _call(command: list[str], remedy: str) -> None:
    """Runs a command; on failure an error that carries the end of what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-8:])
        said = f"`{' '.join(command)}` exited with {done.returncode}; its last words:\n{tail}\n"
        raise EdgenetError(said, remedy)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path`; the system lets go of it even if this process is killed."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
