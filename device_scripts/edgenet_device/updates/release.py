"""Releases on a device: the shell scripts that change them, one that the device makes for itself, and the service.

    HOME/releases/ID/      a bundle with the device scripts; ID is the hash of all files
    HOME/incoming-ID/      a release being copied
    HOME/current           link to the release in use

Each script gets edgenet's folder on the device (HOME) as $1. They run in dash, bash, and Android's mksh and toybox.
edgenet runs them through ssh or adb (its module `devices/releases.py` says how a release is laid out), and an update
that the device fetches itself runs them here. Such an update makes a release of the scripts of the one in use and of
another bundle. It gets the ID that `edgenet deploy` would give it, so a later deploy of the same bundle finds it in its
place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import one_line

SUMS = "SHA256SUMS"
START = "camera.sh"
_DEPLOY = "deploy once from a computer: edgenet deploy BUNDLE --on THIS_DEVICE"
_MOST_TRIAL_S = 300
# Prints the files of a folder that edgenet did not write, or that are no longer as it wrote them. Names that are
# listed twice or more are edgenet's own. Whatever cannot be checked, because SHA256SUMS is lost, counts as changed.
CHANGES = r"""
changes() (
    cd "$1" 2>/dev/null || exit 0
    written=$(sed 's/^[0-9a-f]*  //' SHA256SUMS 2>/dev/null)
    {
        find . ! -type d ! -name '*.pyc' | sed 's|^\./||'
        for twice in 1 2; do printf '%s\n' SHA256SUMS environment previous verified "$written"; done
    } | sort | uniq -u
    LC_ALL=C sha256sum -c SHA256SUMS 2>/dev/null | sed -n 's/: FAILED$//p' |
        while read -r name; do [ ! -e "$name" ] || printf '%s\n' "$name"; done
)
"""
"""Shell function `changes FOLDER`: prints the files that somebody changed or added."""
SET_ASIDE = r"""
set_aside() {
    number=1
    while [ -e "$2/set-aside/$4-$number" ]; do number=$((number + 1)); done
    mkdir -p "$2/set-aside" && mv "$1" "$2/set-aside/$4-$number" || return
    printf '%s\n' "$2/set-aside/$4-$number" && printf '%s\n' "$3" | sed 's/^/ /'
}
"""
"""Shell function `set_aside FOLDER HOME CHANGES NAME`: prints the new path and then, indented, what was changed."""
WHOLE = """
cd "$1/releases/$2" 2>/dev/null && [ -e verified ] && sha256sum -c SHA256SUMS >/dev/null 2>&1
"""
"""Succeeds if the release $2 is there, verified, and has all its files as they were written."""
COMMIT = f"""{CHANGES}{SET_ASIDE}
cd "$1/incoming-$2" && sha256sum -c SHA256SUMS >/dev/null || exit 1
if [ -n "$3" ]; then ln -sfn "../../environments/$3" environment || exit 1; fi
sync
cd "$1" || exit 1
if [ -e "releases/$2" ]; then
    old=$(readlink "releases/$2/previous") && {{ ln -sfn "$old" "incoming-$2/previous" || exit 1; }}
    changed=$(changes "releases/$2")
    if [ -n "$changed" ]; then set_aside "releases/$2" "$1" "$changed" "$2" || exit 1
    else mv -T "releases/$2" "releases/$2.damaged" || exit 1; fi
fi
mv -T "incoming-$2" "releases/$2" && sync && rm -rf "releases/$2.damaged"
"""
"""Moves the copied release $2 to its final name ($3: its environment's key); a changed one there is set aside."""
VERIFIED = 'touch "$1/releases/$2/verified" && sync'
"""Records that the model of the release $2 has run on this device."""
ACTIVATE = """
cd "$1" && [ -e "releases/$2/verified" ] || exit 1
old=$(readlink current)
[ "$old" = "releases/$2" ] && exit 0
if [ -n "$old" ]; then ln -sfn "../${old#releases/}" "releases/$2/previous" || exit 1; fi
# toybox's mv refuses to replace a link to a folder, but its ln replaces a link by rename(2), as mv -T does.
ln -sfn "releases/$2" current.new && { mv -fT current.new current 2>/dev/null || ln -sfn "releases/$2" current; } &&
    rm -f current.new && [ "$(readlink current)" = "releases/$2" ] && sync
"""
"""Points `current` to the verified release $2, in one step."""
RUNNING = """
link=$(readlink "$1/current"); echo "${link#releases/}"
link=$(readlink "$1/current/previous"); echo "${link#../}"
"""
"""Prints the ID of the release in use, and of the one that ran before it."""
# Kept: the current release, the two before it, the three newest, every release with somebody's own files, and every
# environment that these use.
PRUNE = (
    CHANGES
    + SET_ASIDE
    + """
cd "$1/releases" || exit 1
home=$1
kept=" "
link=$(readlink ../current)
for turn in 1 2 3; do
    link=${link##*/}
    [ -n "$link" ] || break
    kept="$kept$link "
    link=$(readlink "$link/previous")
done
count=0
for release in $(ls -t); do
    count=$((count + 1))
    case "$kept" in *" $release "*) continue ;; esac
    [ $count -gt 3 ] || continue
    changed=$(changes "$release")
    if [ -n "$changed" ]; then set_aside "$release" "$home" "$changed" "$release" || exit 1
    else rm -rf "$release"; fi
done
cd "$1/environments" 2>/dev/null || exit 0
used=" "
for link in ../releases/*/environment ../set-aside/*/environment; do used="$used$(readlink "$link") "; done
case "$used" in *../../environments/*) ;; *) exit 0 ;; esac  # no link was understood: keep them all
for environment in *; do
    case "$used" in *" ../../environments/$environment "*) ;; *) rm -rf "$environment" ;; esac
done
"""
)
"""Removes old releases, and the environments that only they used; prints what was set aside instead."""


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
    pairs = (line.partition("  ") for line in lines if "  " in line)
    found = {name: checksum for checksum, _, name in pairs}
    if any(name.startswith("/") or ".." in name.split("/") for name in found):
        raise EdgenetError(f"the release {folder.name} lists files outside its folder", _DEPLOY)
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


UNIT = "edgenet-camera.service"
_PAUSE_S = 2.0
_MANAGERS = (("systemctl", "--user"), ("systemctl",))


@dataclass(frozen=True)
class CameraService:
    """A service that runs, or that systemd tries to run.

    `manager` is the command that asks the systemd it belongs to: the user's, or the system's, which needs sudo.
    """

    manager: tuple[str, ...]

    def restart(self) -> bool:
        """Start it again; return whether it has come up."""
        sudo = () if "--user" in self.manager else ("sudo", "-n")
        return _run((*sudo, *self.manager, "restart", UNIT)) is not None

    def fault(self, seconds: float) -> str:
        """Watch it for some seconds; return why it has failed meanwhile, or "" if it has not."""
        until = time.monotonic() + seconds
        first = _properties(self.manager)
        while True:
            now = _properties(self.manager)
            if now.get("ActiveState") == "failed":
                return "its service has failed"
            if now.get("NRestarts") != first.get("NRestarts"):
                return "its service ended and was started again"
            left = until - time.monotonic()
            if left <= 0:
                state = now.get("ActiveState", "unknown")
                return "" if state == "active" else f"its service is {state}"
            time.sleep(min(_PAUSE_S, left))


def camera_service() -> CameraService | None:
    """Return the camera's service; None if there is none, or if somebody has stopped it."""
    for manager in _MANAGERS:
        found = _properties(manager)
        if found.get("LoadState") == "loaded" and found.get("ActiveState") not in (None, "inactive"):
            return CameraService(manager)
    return None


def _properties(manager: tuple[str, ...]) -> dict[str, str]:
    text = _run((*manager, "show", "-p", "LoadState,ActiveState,NRestarts", UNIT)) or ""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _run(command: tuple[str, ...]) -> str | None:
    """Return what a command prints; None if it fails, hangs or does not exist."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=240, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
