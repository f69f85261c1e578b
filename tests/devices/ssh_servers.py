"""Real OpenSSH servers on this machine, each with a home of its own: devices for the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from virtual_devices import free_port

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def key(path: Path) -> Path:
    """Make a key pair; return the private key's path."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


class SshServer:
    """An sshd that is called `name` in our ssh_config and shares this machine with the tests.

    Args:
        folder: for its files; keys that lie there already are used.
        name: the host's name for ssh.
        variables: further variables of the environment there.

    Attributes:
        user: who logs in.
        home: the home of who logs in.
        bin: the first folder of the PATH there.
        host: this machine's address for it.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, name: str, variables: dict[str, str] | None = None) -> None:
        if SSHD is None or shutil.which("ssh") is None:
            pytest.skip("no OpenSSH server here: sudo apt install openssh-server openssh-client")
        self.folder, self.name, self.port, self.user = folder, name, free_port(), getpass.getuser()
        self.home, self.bin = folder / f"home-{name}", folder / "bin"
        self.home.mkdir()
        host, user = folder / "host", folder / "user"
        for path in (host, user):
            if not path.exists():
                key(path)
        there = {"HOME": self.home, "PATH": f"{self.bin}:/usr/bin:/bin", **(variables or {})}
        self._settings = folder / f"sshd-{name}"
        self._settings.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host}\nAuthorizedKeysFile {user}.pub\n"
            f"StrictModes no\nPidFile none\nSetEnv {' '.join(f'{key}={value}' for key, value in there.items())}\n"
        )
        name_host(folder, name, ("127.0.0.1", self.port), self.user, host)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the duration of the block."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd as root gives up its rights
        process = subprocess.Popen([str(SSHD), "-D", "-f", str(self._settings)], stderr=subprocess.DEVNULL)
        try:
            wait_for(("127.0.0.1", self.port))
            yield
        finally:
            process.terminate()
            process.wait()


def name_host(folder: Path, name: str, address: tuple[str, int], user: str, host_key: Path) -> None:
    """Add a host to the ssh_config of a folder, which has the key that logs in there."""
    kind, public, *_ = Path(f"{host_key}.pub").read_text().split()
    with (folder / "known").open("a") as known:
        known.write(f"[{address[0]}]:{address[1]} {kind} {public}\n")
    with (folder / "config").open("a") as config:
        config.write(
            f"Host {name}\n  HostName {address[0]}\n  Port {address[1]}\n  User {user}\n"
            f"  IdentityFile {folder / 'user'}\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder / 'known'}\n"
            "  KexAlgorithms curve25519-sha256\n"  # a third of the default's computing
        )


def wait_for(address: tuple[str, int]) -> None:
    """Wait until something listens there."""
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until, "sshd does not listen"
            time.sleep(0.1)
