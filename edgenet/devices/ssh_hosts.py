"""The hosts that the user's ssh configuration names, so that they can be offered as devices."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from edgenet.devices.ssh_connection import CONFIG
from edgenet.devices.target_text import read_target
from edgenet.errors import EdgenetError
from edgenet.files import read_limited

_LARGEST = 1 << 20
_DEEPEST = 4  # files that name each other; ssh itself allows 16
_MOST = 200
_LINE = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)", re.ASCII)


def ssh_hosts() -> list[str]:
    """Return the host names of the user's ssh configuration, in its order, without patterns such as "*.local".

    Names that are no target of edgenet's are left out, as are files that cannot be read.
    """
    config = os.environ.get(CONFIG) or str(Path.home() / ".ssh" / "config")
    return hosts_in(Path(config))


def hosts_in(config: Path) -> list[str]:
    """Return the host names of an ssh configuration; see `ssh_hosts`."""
    hosts = [host for host in _named_in(config, 0) if _is_target(host)]
    return list(dict.fromkeys(hosts))[:_MOST]


def _named_in(path: Path, depth: int) -> Iterator[str]:
    """Yield the hosts of a file, and of the files that it includes (ssh_config(5): Host, Include)."""
    try:
        text = read_limited(path, _LARGEST).decode(errors="replace")
    except (EdgenetError, OSError):
        return
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or line.lstrip().startswith("#"):
            continue
        key, words = found[1].lower(), _words(found[2])
        if key == "host":
            yield from (word for word in words if not any(sign in word for sign in "*?!"))
        elif key == "include" and depth < _DEEPEST:
            for word in words:
                # Relative names are those of the folder ~/.ssh.
                place = Path.home() / ".ssh" / os.path.expanduser(word)
                for included in sorted(place.parent.glob(place.name)):
                    yield from _named_in(included, depth + 1)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quotation mark that is never closed
        return text.split()


def _is_target(host: str) -> bool:
    try:
        read_target(f"ssh:{host}")
    except EdgenetError:
        return False
    return True
