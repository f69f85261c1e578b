"""How releases lie on a device, and how one takes the place of another.

    HOME/releases/ID/         a bundle with the device scripts; ID is the hash of all of it
        SHA256SUMS            of every file
        environment           link to what its Python needs, where it has an environment
        previous              link to the release that ran before this one
        verified              its model has run here
    HOME/environments/KEY/    see `environment`
    HOME/incoming-ID/         a release on its way
    HOME/current              link to the release that runs: the one thing that is swapped

Power may fail at any moment: what is incomplete lies under another name, everything is synced before its name says
that it is complete, and `current` changes by one rename(2). The next deploy goes on where the last one stopped.
"""

from __future__ import annotations

from edgenet.devices.device import Device, Finished
from edgenet.devices.posix import script
from edgenet.errors import EdgenetError

_WHOLE = """
cd "$1/releases/$2" 2>/dev/null && [ -e verified ] && sha256sum -c SHA256SUMS >/dev/null 2>&1
"""

_PREPARE = """
mkdir -p "$1/releases" || exit 1
for stale in "$1"/incoming-* "$1"/releases/*.damaged; do
    [ "$stale" = "$1/incoming-$2" ] || rm -rf "$stale"
done
"""

_SETTLE = """
cd "$1/incoming-$2" && sha256sum -c SHA256SUMS >/dev/null || exit 1
if [ -n "$3" ]; then ln -sfn "../../environments/$3" environment || exit 1; fi
sync
cd "$1" || exit 1
if [ -e "releases/$2" ]; then
    old=$(readlink "releases/$2/previous") && { ln -sfn "$old" "incoming-$2/previous" || exit 1; }
    mv -T "releases/$2" "releases/$2.damaged" || exit 1
fi
mv -T "incoming-$2" "releases/$2" && sync && rm -rf "releases/$2.damaged"
"""

_VERIFIED = 'touch "$1/releases/$2/verified" && sync'

_ACTIVATE = """
cd "$1" && [ -e "releases/$2/verified" ] || exit 1
old=$(readlink current)
[ "$old" = "releases/$2" ] && exit 0
if [ -n "$old" ]; then ln -sfn "../${old#releases/}" "releases/$2/previous" || exit 1; fi
# toybox's mv refuses to replace a link to a folder, but its ln replaces a link by rename(2), as mv -T does elsewhere.
ln -sfn "releases/$2" current.new && { mv -fT current.new current 2>/dev/null || ln -sfn "releases/$2" current; } &&
    rm -f current.new && [ "$(readlink current)" = "releases/$2" ] && sync
"""

_RUNNING = """
link=$(readlink "$1/current"); echo "${link#releases/}"
link=$(readlink "$1/current/previous"); echo "${link#../}"
"""

# The current one with the two before it stay, and the three that came last; then the environments that these use.
_PRUNE = """
cd "$1/releases" || exit 1
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
    [ $count -le 3 ] || rm -rf "$release"
done
cd "$1/environments" 2>/dev/null || exit 0
used=" "
for link in ../releases/*/environment; do used="$used$(readlink "$link") "; done
case "$used" in *../../environments/*) ;; *) exit 0 ;; esac  # none in use is none understood: keep them all
for environment in *; do
    case "$used" in *" ../../environments/$environment "*) ;; *) rm -rf "$environment" ;; esac
done
"""


def is_whole(device: Device, release: str) -> bool:
    """Whether that release lies there, verified, with every byte as it was."""
    return _ask(device, _WHOLE, release).status == 0


def prepare(device: Device, release: str) -> str:
    """Makes room for a release and returns the folder that its files go to; other half-copied ones are removed."""
    _must(device, "prepare the folder", _PREPARE, release)
    return f"{device.home}/incoming-{release}"


def settle(device: Device, release: str, environment: str | None) -> None:
    """Gives a release that was copied its name, once its checksums are right and it is on the disk.

    Args:
        device: where.
        release: its ID.
        environment: key of its environment, None for none.
    """
    _must(device, "take the files over", _SETTLE, release, environment or "")


def mark_verified(device: Device, release: str) -> None:
    """Notes that its model has run there."""
    _must(device, "note what was verified", _VERIFIED, release)


def activate(device: Device, release: str) -> None:
    """Makes it the one that `current` leads to, in one step."""
    _must(device, "swap the link", _ACTIVATE, release)


def running(device: Device) -> tuple[str | None, str | None]:
    """IDs of the release that `current` leads to, and of the one that ran before it."""
    now, before = _ask(device, _RUNNING).out.decode().splitlines()
    return now or None, before or None


def prune(device: Device) -> None:
    """Removes what no one will go back to."""
    _must(device, "remove old releases", _PRUNE)


def _ask(device: Device, text: str, *values: str) -> Finished:
    return device.run(script(text, device.home, *values))


def _must(device: Device, what: str, text: str, *values: str) -> None:
    done = _ask(device, text, *values)
    if done.status:
        remedy = "free some space there" if b"No space left" in done.err else "do the same again"
        raise EdgenetError(f"cannot {what} on {device.name}: {done.last_words()}", remedy)
