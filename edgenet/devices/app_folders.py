"""Code of the user's own on a device: where it lies, and how a new copy takes the place of an older one.

    HOME/apps/NAME/current            link to the copy that runs; replacing the code changes only this link
    HOME/apps/NAME/ID/                a copy; ID is the hash of all files and of the packages (ID.1 where that is taken)
        code/                         the user's files
        run.sh                        starts a program of them: sh run.sh PROGRAM [ARGUMENTS]
        environment                   link to its environment, if it has packages of its own
        SHA256SUMS                    checksums of every file
    HOME/apps/NAME/environments/KEY/  a virtual environment with the code's packages
    HOME/apps/NAME/incoming-ID/       a copy that is being made

No release touches this. A copy runs with the Python, the scripts and the bundle of the release in use: run.sh finds
them through HOME/current, and so does the environment for edgenet's packages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgenet_device.updates.release import CHANGES, SET_ASIDE

from edgenet.devices.apps import App, Program
from edgenet.devices.device import Device
from edgenet.devices.environment import make_from_wheels, usable_environments
from edgenet.devices.releases import SUMS, SetAside, folders_set_aside
from edgenet.devices.shell import require_success, script
from edgenet.errors import EdgenetError, one_line
from edgenet.files import sha256
from edgenet.progress import Progress

START = "run.sh"
_START_TEXT = r"""#!/bin/sh
# Written by edgenet deploy. Starts a program of this folder: sh run.sh PROGRAM [ARGUMENTS]
# The program finds the bundle in use in $EDGENET_BUNDLE, and the package edgenet_device.
here=$(cd -P "$(dirname "$0")" && pwd) && release=$(cd -P "$here/../../../current" && pwd) || exit 1
python=$here/environment/bin/python
[ -x "$python" ] || python=$release/environment/bin/python
EDGENET_BUNDLE=$release/$(sed -n 's|^[0-9a-f]*  \([^/]*\)$|\1|p' "$release/SHA256SUMS" | grep -vxF camera.sh)
PYTHONPATH=$release/device_scripts${PYTHONPATH:+:$PYTHONPATH}
PYTHONUNBUFFERED=1
PYTHONDONTWRITEBYTECODE=1
export EDGENET_BUNDLE PYTHONPATH PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE
program=$1
[ $# -eq 0 ] || shift
exec "$python" "$here/code/$program" "$@"
"""


@dataclass(frozen=True)
class OwnCode:
    """Code of the user's own on a device.

    Attributes:
        name: its name: that of the folder, or of the program without .py.
        folder: the folder with the user's files there.
        state: "copied" just now, "was there already", or "kept" as it is.
        changed: the files that somebody changed or added on the device.
        packages: whether it has packages of its own.
        stale: whether its packages are for another Python than the device has now.
    """

    name: str
    folder: str
    state: str
    changed: tuple[str, ...] = ()
    packages: bool = False
    stale: bool = False


def start_command(home: str, program: Program) -> tuple[str, ...]:
    """Return the command that starts a program of the user's own, below edgenet's folder on the device."""
    return (f"{home}/apps/{program.app}/current/{START}", program.path)


def place_app(
    device: Device, app: App, wheels: Sequence[Path] | None, progress: Progress
) -> tuple[OwnCode, tuple[SetAside, ...]]:
    """Bring code to its place on a device; the copy that was there makes room.

    If the power fails, the old or the new copy is in place.

    Args:
        device: the device.
        app: the code.
        wheels: its packages; None for those that the copy before has.
        progress: reports every step.

    Returns:
        what is there now, and the copies that were set aside because somebody had changed them on the device.

    Raises:
        EdgenetError: the device's Python does not understand a program, or a file cannot be written.
    """
    base = f"{device.home}/apps/{app.name}"
    key = _kept_environment(device, base) if wheels is None else _environment_key(wheels)
    files: dict[str, Path | bytes] = {f"code/{name}": path for name, path in app.files.items()}
    files[START] = _START_TEXT.encode()
    sums = "".join(f"{sha256(content)}  {path}\n" for path, content in sorted(files.items())).encode()
    identity = hashlib.sha256(sums + key.encode()).hexdigest()[:16]
    if wheels and key not in usable_environments(device, base):
        make_from_wheels(
            device, f"{base}/environments/{key}", wheels, progress, f"{device.home}/current/environment"
        )
    folder = f"{base}/current/code"
    if device.run(script(_WHOLE, base, identity)).status == 0:
        return OwnCode(app.name, folder, "was there already", packages=bool(key)), ()
    incoming = f"{base}/incoming-{identity}"
    require_success(device, "prepare the folder", device.run(script(_PREPARE, base)))
    device.push({**files, SUMS: sums}, incoming, progress)
    _check_there(device, incoming, [f"code/{name}" for name in app.files if name.endswith(".py")])
    done = device.run(script(_PLACE, device.home, app.name, identity, key))
    require_success(device, f"put {app.name} in its place", done)
    return OwnCode(app.name, folder, "copied", packages=bool(key)), folders_set_aside(done)


def _kept_environment(device: Device, base: str) -> str:
    """Return the key of the environment that the copy in place has; "" if it has none."""
    link = device.run(["readlink", f"{base}/current/environment"]).out.decode(errors="replace").strip()
    return link.rpartition("/")[2]


def _environment_key(wheels: Sequence[Path]) -> str:
    if not wheels:
        return ""
    return hashlib.sha256(
        "\n".join(f"{wheel.name} {sha256(wheel)}" for wheel in wheels).encode()
    ).hexdigest()[:16]


_WHOLE = f"""{CHANGES}
cd "$1" 2>/dev/null && copy=$(readlink current) || exit 1
case "$copy" in "$2" | "$2".*) ;; *) exit 1 ;; esac
[ -z "$(changes "$copy")" ] && cd "$copy" && sha256sum -c SHA256SUMS >/dev/null 2>&1
"""
_PREPARE = """
mkdir -p "$1/environments" && chmod 700 "${1%/*}" && rm -rf "$1"/incoming-*
"""
# The new copy gets a name of its own, so that `current` leads to a whole copy at every moment. Kept: the copy that
# runs, the two newest others, every copy that somebody changed, and every environment that these use.
_PLACE = f"""{CHANGES}{SET_ASIDE}
home=$1
cd "$1/apps/$2" || exit 1
( cd "incoming-$3" && sha256sum -c SHA256SUMS >/dev/null ) || exit 1
[ -z "$4" ] || ln -sfn "../environments/$4" "incoming-$3/environment" || exit 1
sync
make_room() {{
    changed=$(changes "$1")
    if [ -n "$changed" ]; then set_aside "$1" "$home" "$changed" "$2-$1"; else rm -rf "$1"; fi
}}
old=$(readlink current)
new=$3
number=1
while [ -e "$new" ]; do new=$3.$number; number=$((number + 1)); done
mv -T "incoming-$3" "$new" && ln -sfn "$new" current.new && mv -fT current.new current && sync || exit 1
if [ -n "$old" ] && [ -n "$(changes "$old")" ]; then make_room "$old" "$2" || exit 1; fi
count=0
for copy in $(ls -t); do
    case "$copy" in current | environments | incoming-* | "$new") continue ;; esac
    count=$((count + 1))
    [ $count -le 2 ] || make_room "$copy" "$2" || exit 1
done
used=" "
for link in */environment; do used="$used$(readlink "$link") "; done
for environment in environments/*; do
    case "$used" in *" ../$environment "*) ;; *) rm -rf "$environment" ;; esac
done
"""
_COMPILE = """
import sys, warnings
warnings.simplefilter("ignore")
for name in sys.stdin.read().splitlines():
    with open(sys.argv[1] + "/" + name, "rb") as file:
        text = file.read()
    try:
        compile(text, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        sys.exit("%s: %s" % (name[len("code/"):], error))
"""


def _check_there(device: Device, folder: str, programs: Sequence[str]) -> None:
    """Check that the device's Python, which may be an older one, understands the programs."""
    done = device.run(["python3", "-c", _COMPILE, folder], stdin="\n".join(programs).encode())
    if done.status:
        raise EdgenetError(
            f"python3 on {device.name} does not understand {one_line(done.last_line())}",
            "write it for the Python of the device",
        )


_LIST = f"""{CHANGES}
cd "$1/apps" 2>/dev/null || exit 0
python=$(readlink -f "$(command -v python3)")
for app in *; do
    [ -d "$app/current/" ] || continue
    packages=
    stale=
    if [ -h "$app/current/environment" ]; then
        packages=yes
        [ "$(cat "$app/current/environment/complete" 2>/dev/null)" = "$python" ] || stale=stale
    fi
    echo "$app/$packages/$stale"
    changes "$app/current/" | sed 's/^/ /'
done
"""


def code_on(device: Device) -> tuple[OwnCode, ...]:
    """Return the code of the user's own that is on a device."""
    found: list[OwnCode] = []
    for line in device.run(script(_LIST, device.home)).out.decode(errors="replace").splitlines():
        if line.startswith(" ") and found:
            found[-1] = replace(found[-1], changed=(*found[-1].changed, line[1:].removeprefix("code/")))
        elif not line.startswith(" "):
            name, packages, stale = [*line.split("/"), "", ""][:3]
            folder = f"{device.home}/apps/{name}/current/code"
            found.append(OwnCode(name, folder, "kept", (), bool(packages), bool(stale)))
    return tuple(found)


def check_program(device: Device, program: Program) -> None:
    """Check that a program of the user's own is on a device.

    Raises:
        EdgenetError: it is not; the message says what is there.
    """
    path = f"{device.home}/apps/{program.app}/current/code/{program.path}"
    if device.run(["test", "-f", path]).status:
        names = ", ".join(app.name for app in code_on(device)) or "none"
        raise EdgenetError(
            f"{program} is not on {device.name}, whose code of your own is: {names}",
            "bring it along: edgenet deploy BUNDLE --with my_app.py",
        )
