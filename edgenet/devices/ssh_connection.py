"""One connection of the user's own OpenSSH, which every command and every file then shares (ssh_config: ControlMaster).

What the user's ~/.ssh/config says about the host holds: keys, jump hosts, names, ports. Host keys are always checked:
where that configuration says "StrictHostKeyChecking no", a new host is still taken as it comes, but a known one whose
key has changed is refused. Where a person sits at the terminal, ssh asks there for a password
or about a new host; elsewhere it asks nothing and fails (BatchMode).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgenet.devices.posix import script
from edgenet.devices.ssh_errors import connection_error
from edgenet.devices.target import Ssh
from edgenet.errors import EdgenetError

# Another file than ~/.ssh/config, as `ssh -F` takes it.
CONFIG = "EDGENET_SSH_CONFIG"

_READY = "edgenet-ready"
_OPTIONS = {
    "LogLevel": "ERROR",  # its reasons, not its chatter
    "ConnectTimeout": "10",
    # A network that went away is noticed within half a minute.
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
}


class SshConnection:
    """An open connection; `close` ends it, and so does the end of this process, however it comes.

    Attributes:
        home: the user's home folder there.
    """

    def __init__(self, target: Ssh, name: str) -> None:
        """Connects.

        Raises:
            EdgenetError: no ssh here, no such host, refused, its key unknown or changed, no permission.
        """
        if shutil.which("ssh") is None:
            raise EdgenetError(
                "the program ssh is not installed", "install OpenSSH: sudo apt install openssh-client"
            )
        self.name = name
        self._target = target
        # A socket's path may have 100 characters or so: $TMPDIR may be too long for one.
        self._folder = Path(tempfile.mkdtemp(prefix="edgenet-", dir="/tmp"))
        self._master: subprocess.Popen[bytes] | None = None
        # Of every connection: without the shared one, ssh would make another by itself.
        self._options = {**_OPTIONS, **self._host_keys()}
        try:
            self.home = self._connect()
        except BaseException:
            self.close()
            raise

    def command(self, command: Sequence[str]) -> list[str]:
        """The command here that runs one there; the login shell gets each argument quoted."""
        return [*self.transport(), "-T", *self._destination(), "exec " + shlex.join(command)]

    def transport(self) -> list[str]:
        """`ssh` with the options that use this connection, and no other; without the host."""
        return ["ssh", *_config(), *_as_options({**self._options, "BatchMode": "yes"}), *self._socket("no")]

    def remote(self, path: str) -> str:
        """A path there as rsync writes it."""
        # The socket knows the user and the port already.
        host = self._target.host
        return f"[{host}]:{path}" if ":" in host else f"{host}:{path}"

    def forwarding(self, action: str, here: int, there: int) -> list[str]:
        """The command that makes ("forward") or takes back ("cancel") a port of 127.0.0.1 that leads to one there."""
        ports = f"127.0.0.1:{here}:127.0.0.1:{there}"
        return [*self.transport(), "-O", action, "-L", ports, *self._destination()]

    def check(self) -> None:
        """Raises EdgenetError if the connection is lost."""
        if self._master is not None and self._master.poll() is None:
            check = [*self.transport(), "-O", "check", *self._destination()]
            if subprocess.run(check, capture_output=True, check=False).returncode == 0:
                return
        raise EdgenetError(
            f"the connection to {self.name} is lost",
            "see that it has power and that the network is up, then do the same again",
        )

    def close(self) -> None:
        """Ends the connection and all that runs over it."""
        if self._master is not None:
            self._master.terminate()
            self._master.communicate()  # which also closes its streams
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self) -> str:
        # It ends with its standard input, which this process holds: no connection outlives us.
        text = f'echo {_READY} && printf "%s\\n" "$HOME" && exec cat'
        asks = "no" if sys.stdin.isatty() and sys.stderr.isatty() else "yes"
        options = [*_as_options({**self._options, "BatchMode": asks}), *self._socket("yes"), "-T"]
        self._master = subprocess.Popen(
            ["ssh", *_config(), *options, *self._destination(), "exec " + shlex.join(script(text))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._master.stdout is not None
        assert self._master.stderr is not None
        for line in self._master.stdout:  # a login script may greet first
            if line.strip() == _READY.encode():
                return self._master.stdout.readline().decode().rstrip("\n")
        raise connection_error(self.name, self._target, self._master.stderr.read().decode(errors="replace"))

    def _host_keys(self) -> dict[str, str]:
        """What makes ssh check the host's key where the user's configuration does not."""
        shown = subprocess.run(
            ["ssh", *_config(), "-G", *self._destination()], capture_output=True, text=True, check=False
        )
        told = dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)
        unchecked = told.get("stricthostkeychecking") in ("no", "off", "false")
        return {"StrictHostKeyChecking": "accept-new"} if unchecked else {}

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
