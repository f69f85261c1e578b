"""A release that a device makes for itself: the scripts of the one in use, with another bundle.

It gets the ID that `edgenet deploy` would give it, so a later deploy of the same bundle finds it in its place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import one_line
from edgenet_device.release_scripts import ACTIVATE, CHANGES, COMMIT, PRUNE, VERIFIED, WHOLE

SUMS = "SHA256SUMS"
START = "camera.sh"
_DEPLOY = "deploy once from a computer: edgenet deploy BUNDLE --on THIS_DEVICE"
_MOST_TRIAL_S = 300


class Releases:
    """The releases in edgenet's folder on this device.

    Args:
        home: that folder.

    Raises:
        EdgenetError: no release is in use there.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        link = home / "current"
        if not link.is_symlink() or not (link / SUMS).is_file():
            raise EdgenetError(f"no release is in use in {home}", _DEPLOY)

    @property
    def current(self) -> str:
        """Return the ID of the release in use."""
        return Path(os.readlink(self._home / "current")).name

    def bundle(self, release: str) -> Path:
        """Return the path of a release's bundle.

        Raises:
            EdgenetError: its list of files names none.
        """
        folder = self._home / "releases" / release
        names = [name for name in _sums(folder) if "/" not in name and name != START]
        if len(names) != 1:
            raise EdgenetError(f"the release {release} has no bundle", _DEPLOY)
        return folder / names[0]

    def add(self, bundle: Path) -> str:
        """Make a release of the present scripts and this bundle, without using it yet; return its ID.

        Raises:
            EdgenetError: a file of the present release was changed, or the disk is full.
        """
        old = self._home / "releases" / self.current
        sums, before = _sums(old), self.bundle(self.current).name
        start = (old / START).read_text(encoding="utf-8").replace(f'/{before}"', f'/{bundle.name}"').encode()
        del sums[before]
        sums[START], sums[bundle.name] = hashlib.sha256(start).hexdigest(), _sha256(bundle)
        listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()
        environment = old / "environment"
        key = Path(os.readlink(environment)).name if environment.is_symlink() else ""
        release = hashlib.sha256(listed + key.encode()).hexdigest()[:16]
        if self._run(WHOLE, release).returncode == 0:
            return release
        folder = self._home / f"incoming-{release}"
        try:
            for name in sums.keys() - {START, bundle.name}:
                place = folder / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(old / name, place)
            shutil.copyfile(bundle, folder / bundle.name)
            (folder / START).write_bytes(start)
            (folder / SUMS).write_bytes(listed)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise EdgenetError(
                f"cannot copy the release {release}: {error.strerror}; what runs now goes on",
                "free some space on this device, and look after its disk",
            ) from None
        done = self._run(COMMIT, release, key)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            changed = self._run(f'{CHANGES}\nchanges "$1/releases/$2"', old.name).stdout.split("\n")[0]
            why = f"{one_line(changed)} was changed there" if changed else one_line(done.stderr[-200:])
            raise EdgenetError(f"the release in use cannot be copied: {why}", _DEPLOY)
        return release

    def try_model(self, release: str) -> None:
        """Run a release's model once, with its own Python; afterwards the release may be used.

        Raises:
            EdgenetError: the model does not run here.
        """
        if self._run(WHOLE, release).returncode == 0:
            return
        folder = self._home / "releases" / release
        python = folder / "environment" / "bin" / "python"
        command = [str(python), "-m", "edgenet_device", "try-model", str(self.bundle(release))]
        there = {**os.environ, "PYTHONPATH": str(folder / "device_scripts")}
        try:
            done = subprocess.run(
                command,
                env=there,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_MOST_TRIAL_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EdgenetError(f"the model cannot be tried: {one_line(str(error))}", _DEPLOY) from None
        if done.returncode:
            said = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise EdgenetError(
                f"the model does not run on this device: {one_line(said.replace('error: ', '', 1))}"
            )
        self._must(VERIFIED, "mark the release as verified", release)

    def activate(self, release: str) -> None:
        """Make a release the one in use, in one step.

        Raises:
            EdgenetError: the link cannot be changed.
        """
        self._must(ACTIVATE, "switch to the release", release)

    def prune(self) -> None:
        """Remove old releases; those with somebody's own files are set aside.

        Raises:
            EdgenetError: one cannot be removed.
        """
        self._must(PRUNE, "remove old releases")

    def _run(self, text: str, *values: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-c", text, "sh", str(self._home), *values]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

    def _must(self, text: str, what: str, *values: str) -> None:
        done = self._run(text, *values)
        if done.returncode:
            said = one_line(done.stderr.strip()[-200:])
            raise EdgenetError(f"cannot {what}: {said}", "look after this device's disk")


def _sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a release, by its path there."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise EdgenetError(
            f"the release {folder.name} has no readable list of its files ({error})", _DEPLOY
        ) from None
    found = dict(reversed(line.split("  ", 1)) for line in lines if "  " in line)
    if any(name.startswith("/") or ".." in name.split("/") for name in found):
        raise EdgenetError(f"the release {folder.name} lists files outside its folder", _DEPLOY)
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
