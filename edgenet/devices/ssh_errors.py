"""Why ssh did not connect, in our words, with what to do."""

from __future__ import annotations

from edgenet.devices.target import Ssh
from edgenet.errors import EdgenetError

# What OpenSSH writes (sshconnect.c, ssh_api.c, readconf.c), in the order in which it is looked for.
_CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"
_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        _CHANGED,
        "{name} shows another host key than before",
        "if it was installed anew, forget the old key with ssh-keygen -R '{known}'; "
        "if not, someone may be in between: do not connect",
    ),
    (
        "Host key verification failed",
        "the host key of {name} is not known here",
        "connect once with {ssh}, compare the fingerprint it shows with the device's, and say yes",
    ),
    (
        "Permission denied",
        "{name} does not let us in",
        "check the user's name, and set up a key with ssh-copy-id {options}{login}",
    ),
    (
        "Could not resolve hostname",
        "there is no host '{host}'",
        "check the name and that the device is on; its address, as its router shows it, works too",
    ),
    (
        "Connection refused",
        "{name} refuses connections",
        "turn SSH on there (sudo raspi-config), or check the port",
    ),
    ("timed out", "{name} does not answer", "check that it is on and in the same network"),
    ("No route to host", "{name} cannot be reached", "check that it is on and in the same network"),
    ("Network is unreachable", "{name} cannot be reached", "check this machine's network"),
)


def connection_error(name: str, target: Ssh, said: str) -> EdgenetError:
    """The error for what ssh said on standard error when it gave up."""
    login = f"{target.user}@{target.host}" if target.user else target.host
    options = f"-p {target.port} " if target.port else ""
    facts = {
        "name": name,
        "host": target.host,
        "known": f"[{target.host}]:{target.port}" if target.port not in (None, 22) else target.host,
        "login": login,
        "options": options,
        "ssh": f"ssh {options}{login}",
    }
    for words, found, remedy in _REASONS:
        if words in said:
            return EdgenetError(found.format(**facts), remedy.format(**facts))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = lines[-1] if lines else "ssh ended without a reason"
    return EdgenetError(f"cannot connect to {name}: {reason}", f"try {facts['ssh']}")
