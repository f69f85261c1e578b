"""One OpenSSH connection that all commands and file copies share (ssh_config: ControlMaster).

The user's ~/.ssh/config applies: keys, jump hosts, names, ports. Host keys are always checked: even if that
file says "StrictHostKeyChecking no", only new hosts are accepted unchecked, and a known host whose key has
changed is refused. In a terminal, ssh may ask for a password or about a new host; otherwise it fails instead
of asking (BatchMode).

`ssh_hosts` lists the hosts that the configuration names, so that they can be offered as devices.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgenet.devices.device import Ssh, UnreachableError, read_target
from edgenet.devices.shell import script
from edgenet.errors import EdgenetError
from edgenet.files import read_limited

# The environment variable that names a file to use instead of ~/.ssh/config, as `ssh -F` does.
CONFIG = "EDGENET_SSH_CONFIG"
_READY = "edgenet-ready"
_OPTIONS = {
    "LogLevel": "ERROR",  # no banners or notices: standard error must hold only the reason of a failure
    "ServerAliveCountMax": "3",
}
_DEFAULTS = {
    "ConnectTimeout": ("none", "10"),
    # With ServerAliveCountMax this notices a lost network within half a minute.
    "ServerAliveInterval": ("0", "10"),
}
"""OpenSSH's own value of a setting, and ours in its place. Any other value is the user's, whose network may be slow."""
_LARGEST = 1 << 20
_DEEPEST = 4  # files that name each other; ssh itself allows 16
_MOST = 200
_LINE = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)", re.ASCII)


class SshConnection:
    """An open connection. It ends with `close`, or when this process ends for any reason.

    Attributes:
        name: the target as the user gave it.
        home: the user's home folder on the device.
    """

    def __init__(self, target: Ssh, name: str) -> None:
        """Connect to the device.

        Raises:
            EdgenetError: ssh is not installed, the host does not exist or refuses the connection or the
                login, or its key is unknown or has changed.
        """
        if sys.platform == "win32":
            raise EdgenetError(
                "devices over ssh need a Unix system: the ssh of Windows cannot share a connection",
                "run edgenet in WSL",
            )
        if shutil.which("ssh") is None:
            raise EdgenetError(
                "the program ssh is not installed", "install OpenSSH: sudo apt install openssh-client"
            )
        self.name = name
        self._target = target
        # A socket's path may have only about 100 characters, and $TMPDIR may be longer.
        self._folder = Path(tempfile.mkdtemp(prefix="edgenet-", dir="/tmp"))
        self._master: subprocess.Popen[bytes] | None = None
        # Every ssh command gets these options: if the shared connection is lost, ssh opens another one by
        # itself.
        self._options = {**_OPTIONS, **dict(target.options), **self._by_settings()}
        try:
            self.home = self._connect()
        except BaseException:
            self.close()
            raise

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the local command that runs a command on the device; arguments are quoted for its shell."""
        return [*self.transport(), "-T", *self._destination(), "exec " + shlex.join(command)]

    def transport(self) -> list[str]:
        """Return `ssh` with the options that make it use this connection, without the host."""
        return ["ssh", *_config(), *_as_options({**self._options, "BatchMode": "yes"}), *self._socket("no")]

    def remote(self, path: str) -> str:
        """Return a path on the device in rsync's notation, HOST:PATH."""
        # User and port are left out, because the shared connection already has them.
        host = self._target.host
        return f"[{host}]:{path}" if ":" in host else f"{host}:{path}"

    def forwarding(self, action: str, here: int, there: int) -> list[str]:
        """Return the command that forwards a local port to a port of the device, or ends that.

        Args:
            action: "forward" or "cancel".
            here: port of this machine's 127.0.0.1.
            there: port of the device's 127.0.0.1.
        """
        ports = f"127.0.0.1:{here}:127.0.0.1:{there}"
        return [*self.transport(), "-O", action, "-L", ports, *self._destination()]

    def check(self) -> None:
        """Raise EdgenetError if the connection is lost."""
        if self._master is not None and self._master.poll() is None:
            check = [*self.transport(), "-O", "check", *self._destination()]
            if subprocess.run(check, capture_output=True, check=False).returncode == 0:
                return
        raise UnreachableError(
            f"the connection to {self.name} is lost",
            "check the device's power and the network, then run the same command again",
        )

    def close(self) -> None:
        """End the connection and everything that runs over it."""
        if self._master is not None:
            self._master.terminate()
            self._master.communicate()  # waits for it and closes its streams
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self) -> str:
        # `cat` ends when its standard input closes. This process holds the other end, so no connection
        # outlives us.
        text = f'echo {_READY} && printf "%s\\n" "$HOME" && exec cat'
        # Several connections at once, each in a thread, would all ask at once.
        alone = threading.current_thread() is threading.main_thread()
        asks = "no" if alone and sys.stdin.isatty() and sys.stderr.isatty() else "yes"
        options = [*_as_options({**self._options, "BatchMode": asks}), *self._socket("yes"), "-T"]
        self._master = subprocess.Popen(
            ["ssh", *_config(), *options, *self._destination(), "exec " + shlex.join(script(text))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._master.stdout is not None
        assert self._master.stderr is not None
        for line in self._master.stdout:  # a login script may print a greeting first
            if line.strip() == _READY.encode():
                return self._master.stdout.readline().decode().rstrip("\n")
        raise _connection_error(self.name, self._target, self._master.stderr.read().decode(errors="replace"))

    def _by_settings(self) -> dict[str, str]:
        """Return the options that depend on the user's configuration: time limits that it leaves open, and a check of
        host keys where it turns that off.
        """
        shown = subprocess.run(
            ["ssh", *_config(), *_as_options(dict(self._target.options)), "-G", *self._destination()],
            capture_output=True,
            text=True,
            check=False,
        )
        settings = dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)
        unchecked = settings.get("stricthostkeychecking") in ("no", "off", "false")
        options = {
            name: ours
            for name, (default, ours) in _DEFAULTS.items()
            if settings.get(name.lower(), default) == default
        }
        return {**options, "StrictHostKeyChecking": "accept-new"} if unchecked else options

    def _socket(self, master: str) -> list[str]:
        return _as_options(
            {"ControlMaster": master, "ControlPath": str(self._folder / "c"), "ControlPersist": "no"}
        )

    def _destination(self) -> list[str]:
        target = self._target
        user = ["-l", target.user] if target.user else []
        port = ["-p", str(target.port)] if target.port else []
        return [*user, *port, target.host]


def _config() -> list[str]:
    return ["-F", os.environ[CONFIG]] if os.environ.get(CONFIG) else []


def _as_options(options: dict[str, str]) -> list[str]:
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


# Why ssh cannot connect: a part of OpenSSH's message, and what we say instead: what was found, what to do.
# The messages are from sshconnect.c, ssh_api.c and readconf.c; we search for them in this order.
_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
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


def _connection_error(name: str, target: Ssh, said: str) -> UnreachableError:
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
            return UnreachableError(found.format(**facts), remedy.format(**facts))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = lines[-1] if lines else "ssh gave no reason"
    return UnreachableError(f"cannot connect to {name}: {reason}", f"run {facts['ssh']} to see why")


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
