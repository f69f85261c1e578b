"""Packages for a device without a network: this machine's pip downloads them and a cache keeps them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edgenet.devices.requirements import Requirements
from edgenet.errors import EdgenetError
from edgenet.progress import Progress
from edgenet.zoo.weights import cache_folder

# PEP 600's tags start at manylinux_2_17, for glibc 2.17; manylinux2014 is another name for it.
_OLDEST_GLIBC = 17


def wheels_for(needed: Requirements, progress: Progress) -> list[Path]:
    """Return the wheels that a device needs, from the cache or downloaded.

    Raises:
        EdgenetError: pip is missing, cannot reach its index, or finds no wheel.
    """
    name = hashlib.sha256("\n".join([*needed.packages, *_tags(needed)]).encode()).hexdigest()[:16]
    folder = cache_folder(os.environ) / "wheels" / name
    if not folder.is_dir():
        progress("download packages", 0, None)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
            _download(needed, Path(new))
            shutil.copytree(new, f"{new}.whole")
            os.rename(f"{new}.whole", folder)
    return sorted(folder.glob("*.whl"))


def _download(needed: Requirements, folder: Path) -> None:
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", *_tags(needed)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *needed.packages],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            done.stderr.strip()
        ]
        raise EdgenetError(
            f"cannot download {' '.join(needed.packages)}: {lines[-1]}",
            "check that this machine has a network connection and pip",
        )


def _tags(needed: Requirements) -> list[str]:
    """Return pip's options that select wheels for the device: PEP 600 tags up to its glibc version."""
    newest = int(needed.python.glibc.split(".")[1])
    platforms = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(_OLDEST_GLIBC, newest + 1))]
    chosen = [part for name in platforms for part in ("--platform", f"{name}_{needed.userland}")]
    version = ".".join(map(str, needed.python.version))
    return ["--implementation", "cp", "--python-version", version, *chosen]
