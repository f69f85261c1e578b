"""A model's first run on this machine, in a child process: a damaged or hostile file can end the runtime's process.

LiteRT trusts the numbers in a file. With wrong ones it aborts, writes outside its memory, or never ends, and no Python
code can catch that. So a file that this machine has not run before is loaded and run once in a child process, with
limits on its time and memory. A file that passes is remembered by its SHA-256 in the cache folder, as an empty file
there, so that later starts only look for that file.
"""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import one_line, read_json
from edgenet_device.model_file import ModelFile

MOST_CPU_S = 10
"""CPU time in seconds that loading and one inference may take; on a Pi they take less than 2."""
MOST_WAIT_S = 60
"""Wall time in seconds for the child, which on a busy device has to wait for its imports."""
_LATER = "do not use this file, or convert it again from a source that you trust"
# What this process has tried, for a device whose cache folder cannot be written.
_TRIED: set[str] = set()


def run_in_child_first(model: ModelFile, runtime: str, threads: int) -> None:
    """Load a model and run it once in a child process, unless it has passed this on this machine before.

    Args:
        model: the model; the child gets its bytes.
        runtime: the runtime's name and version.
        threads: threads that run the network.

    Raises:
        EdgenetError: the runtime refuses the model, or the child did not live to report; the message says why.
    """
    key = _key(model, runtime)
    place = cache_folder() / "tried" / key
    if key in _TRIED or place.exists():
        return
    _raise_fault(_run_child(model, threads), model, runtime)
    _TRIED.add(key)
    with suppress(OSError):  # without the file, the next process tries the model again
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def cache_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return the folder for downloaded files: `EDGENET_CACHE` if set, else the platform's usual place for caches."""
    if chosen := environment.get("EDGENET_CACHE"):
        return Path(chosen).expanduser()
    if xdg := environment.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "edgenet"
    if platform == "win32" and (local := environment.get("LOCALAPPDATA")):
        return Path(local) / "edgenet" / "Cache"
    # Unlike Path.home(), this raises nothing for a user without a home.
    home = Path(os.path.expanduser("~"))
    return home / "Library" / "Caches" / "edgenet" if platform == "darwin" else home / ".cache" / "edgenet"


def child_environment() -> dict[str, str]:
    """Return this process's environment, in which a child imports the same `edgenet_device` as this process."""
    folders = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


def _key(model: ModelFile, runtime: str) -> str:
    """Return the name that stands for a file, a runtime and a processor; another runtime may not survive the file."""
    return hashlib.sha256(f"{model.sha256} {runtime} {platform.machine()}".encode()).hexdigest()


def _run_child(model: ModelFile, threads: int) -> subprocess.CompletedProcess[bytes] | None:
    """Return the ended child, or None if it had to be stopped."""
    command = [sys.executable, "-m", "edgenet_device", "run-once", str(threads)]
    try:
        return subprocess.run(
            command,
            input=model.data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            timeout=MOST_WAIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    except OSError as error:
        raise EdgenetError(
            f"cannot start {sys.executable or 'Python'} to try {model.path}: {error.strerror}",
            "check this machine's Python",
        ) from None


def _raise_fault(child: subprocess.CompletedProcess[bytes] | None, model: ModelFile, runtime: str) -> None:
    """Raise an error unless the child reported that the model ran."""
    if child is None or child.returncode == -getattr(signal, "SIGXCPU", 0):
        raise EdgenetError(
            f"{model.path} hangs {runtime}: its first run does not end within {MOST_CPU_S} s", _LATER
        )
    try:
        answer = read_json(child.stdout.strip())
        step, reason = answer["failed"], one_line(str(answer["reason"]))
    except (ValueError, KeyError, TypeError):
        raise EdgenetError(
            f"{model.path} ends {runtime} with {_end_of(child.returncode)} in a first run, which was kept apart",
            _LATER,
        ) from None
    if step is not None:
        raise EdgenetError(f"{runtime} cannot {step} {model.path}: {reason}", "convert the model again")


def _end_of(status: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"exit status {status}"
