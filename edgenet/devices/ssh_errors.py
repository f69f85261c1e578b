"""Plain error messages, with remedies, for the reasons why ssh cannot connect."""

from __future__ import annotations

from edgenet.devices.target import Ssh
from edgenet.errors import EdgenetError

# Messages of OpenSSH (sshconnect.c, ssh_api.c, readconf.c), in the order in which we search for them.
_CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"
_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        _CHANGED,
        "{name} shows a different host key than before",
        "if it was reinstalled, remove the old key with ssh-keygen -R '{known}'; "
        "if not, someone may be intercepting the connection: do not connect",
    ),
    (
        "Host key verification failed",
        "the host key of {name} is not known on this machine",
        "connect once with {ssh}, compare the fingerprint it shows with the device's, and answer yes",
    ),
    (
        "Permission denied",
        "{name} refuses the login",
        "check the user name, and set up a key with ssh-copy-id {options}{login}",
    ),
    (
        "Could not resolve hostname",
        "there is no host '{host}'",
        "check the name and that the device is on; the IP address that your router shows works too",
    ),
    (
        "Connection refused",
        "{name} refuses connections",
        "turn SSH on on the device (sudo raspi-config), or check the port",
    ),
    ("timed out", "{name} does not answer", "check that the device is on and in the same network"),
    ("No route to host", "{name} cannot be reached", "check that the device is on and in the same network"),
    ("Network is unreachable", "{name} cannot be reached", "check this machine's network"),
)


def connection_error(name: str, target: Ssh, said: str) -> EdgenetError:
    """Return the error for a failed connection.

    Args:
        name: the target as the user gave it.
        target: the parsed target.
        said: the standard error of ssh.
    """
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
    reason = lines[-1] if lines else "ssh gave no reason"
    return EdgenetError(f"cannot connect to {name}: {reason}", f"run {facts['ssh']} to see why")
