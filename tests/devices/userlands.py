"""Userlands on this machine: devices for the tests that share nothing but the read-only files of its root.

Each has a root of its own (this machine's, below a layer in memory), processes, a network with an address, a host name,
an identity, a user pi with a home, and an sshd with a key. Everything goes with the process that made it.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ssh_servers import SSHD, key, name_host, wait_for

USER = "pi"
# What their sshd is given, which logs in nobody but USER.
_PORT = 2222
_SSHD = f"Port {_PORT}\nHostKey /etc/ssh/host\nUsePAM no\nPidFile none\nPasswordAuthentication no\n"
# $1: a folder; $2: the name; $3: the identity; $4 and later: folders of Python's that USER must be able to enter.
_ENTER = """
export PATH=/usr/sbin:/sbin:/usr/bin:/bin
mount -t tmpfs -o mode=755 layers "$1"
mkdir "$1/own" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/own,workdir=$1/work" root "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sys sys
mount --rbind /dev dev
for folder in dev/shm run; do mount -t tmpfs "$folder" "$folder"; done
chmod 1777 dev/shm tmp
mkdir -p mnt run/sshd
pivot_root . mnt
umount -l mnt
hostname "$2"
echo "$2" >/etc/hostname
echo "$3" >/etc/machine-id
shift 3
chmod a+x "$@"
! id pi >/dev/null 2>&1 || userdel pi
useradd --create-home --password '*' --shell /bin/sh pi
mkdir /home/pi/.ssh
chmod 755 /home/pi /home/pi/.ssh
chown pi: /home/pi/.ssh
ip link set lo up
echo ready
read -r _
"""
_SPACES = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--propagation=private"]
_NUMBERS = itertools.count(1)
# RFC 2544 sets it aside for tests of networks. Each run of the tests has sixteen pairs of addresses.
_TEST_NETWORK = ipaddress.ip_network("198.18.0.0/15")


class Userland:
    """A running userland that is called `name` in our ssh_config. Use it as a context manager.

    Args:
        folder: for the keys, the ssh_config and the place where its root is mounted.
        name: its host name, and its name for ssh.

    Attributes:
        user: who logs in.
        home: the home of who logs in, as this process sees it.
        bin: a folder of the PATH there, as this process sees it.
        host: this machine's address for it.

    Raises:
        OSError: it cannot be made here, for example by a user who is not root.
    """

    user = USER

    def __init__(self, folder: Path, name: str) -> None:
        if SSHD is None:
            raise OSError("there is no OpenSSH server")
        self.folder, self.name = folder, name
        place = folder / f"root-{name}"
        place.mkdir()
        script = ["sh", "-euc", _ENTER, "sh", str(place), name, uuid.uuid4().hex, *_folders_of_python()]
        self._process = subprocess.Popen(
            ["unshare", *_SPACES, *script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        try:
            if self._process.stdout.readline() != "ready\n":
                assert self._process.stderr is not None
                raise OSError(self._process.stderr.read().strip() or "unshare failed")
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            self._first = children.read_text().split()[0]
            root = Path(f"/proc/{self._first}/root")
            self.home, self.bin = root / "home" / USER, root / "usr" / "local" / "bin"
            self.host, self.address = self._connect(next(_NUMBERS))
            self._write_keys(root)
        except OSError:
            self._process.kill()
            raise

    def __enter__(self) -> Userland:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()  # ends its first process, and with that all of them

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let its sshd run for the duration of the block."""
        script = f"{SSHD} -D & read -r _; kill $!; wait"
        command = ["nsenter", f"--target={self._first}", "--all", "sh", "-c", script]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            wait_for((self.address, _PORT))
            yield
        finally:
            process.communicate()

    def _connect(self, number: int) -> tuple[str, str]:
        """Lay a cable between this machine and it; return the address of either end."""
        line, block = f"edgenet{os.getpid() % 10**5}-{number}", os.getpid() % 2048 * 16 + number
        here, there = (str(_TEST_NETWORK[4 * block + end]) for end in (1, 2))
        inside = ("nsenter", f"--target={self._first}", "--net")
        _run("ip", "link", "add", line, "type", "veth", "peer", "name", "eth0", "netns", self._first)
        for before, name, address in (((), line, here), (inside, "eth0", there)):
            _run(*before, "ip", "address", "add", f"{address}/30", "dev", name)
            _run(*before, "ip", "link", "set", name, "up")
        return here, there

    def _write_keys(self, root: Path) -> None:
        """Write who may log in, and as whom it answers; and both into our ssh_config."""
        host, user = key(self.folder / f"host-{self.name}"), self.folder / "user"
        if not user.exists():
            key(user)
        shutil.copy(host, root / "etc" / "ssh" / "host")
        (root / "etc" / "ssh" / "sshd_config").write_text(_SSHD)
        shutil.copy(f"{user}.pub", self.home / ".ssh" / "authorized_keys")
        name_host(self.folder, self.name, (self.address, _PORT), USER, host)


def _folders_of_python() -> Sequence[str]:
    """Return the folders that lead to this Python, which may belong to root alone."""
    programs = (Path(sys.executable), Path(sys.executable).resolve())
    return sorted({str(folder) for program in programs for folder in program.parents})


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
