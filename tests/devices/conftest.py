"""A Raspberry Pi that boots for the first time, called pi in edgenet's ssh. Its disk is removed with the module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_programs import JOURNALCTL, PROPERTIES, SYSTEMCTL
from tiny_model import tiny_model
from virtual_devices import COLOURS, Pi, free_port, skip_without

from edgenet.bundle import write_bundle
from edgenet.devices.unit import UNIT
from edgenet.manifest import Facts, Weights

DROP_INS = (f"/home/pi/.config/systemd/user/{UNIT}.d", f"/etc/systemd/system/{UNIT}.d")


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    """A Raspberry Pi that boots for the first time, named pi for ssh. Its disk is removed after the module."""
    skip_without("the virtual Pi", "qemu-system-aarch64", "qemu-aarch64-static", "mmdebstrap", "ssh", "rsync")
    machine = Pi(free_port(), Path(), tmp_path_factory.mktemp("pi"))
    started = machine.kit("start")
    if started.returncode:
        pytest.skip(f"the virtual Pi does not start: {started.stderr.strip()[-500:]}")
    try:
        config = Path(machine.kit("ssh-config").stdout.strip())
        # The tests' own commands share one connection: an emulated CPU takes seconds for a new one.
        with config.open("a") as file:
            file.write(f"ControlMaster auto\nControlPath {config.parent}/shared\nControlPersist yes\n")
        # The camera takes every frame that comes; this leaves some CPU time to everything else.
        machine = Pi(machine.port, config, machine.folder)
        for folder in DROP_INS:
            sudo = "sudo " if folder.startswith("/etc") else ""
            machine.sh(
                f"{sudo}mkdir -p {folder} && printf '[Service]\\nNice=19\\n' | {sudo}tee {folder}/nice.conf"
            )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGENET_SSH_CONFIG", str(config))
            yield machine
    finally:
        machine.kit("stop")


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that distinguishes red, green and blue."""
    path = tmp_path_factory.mktemp("colours") / "colours.edgenet"
    write_bundle(
        path, tiny_model(size=32), list(COLOURS), Facts("colours", Weights("made for a test", "Apache-2.0"))
    )
    return path


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the arguments of each call of the stand-ins, one line each; the user's folders are in tmp_path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    texts = {
        "systemctl": SYSTEMCTL,
        "journalctl": JOURNALCTL,
        "loginctl": "#!/bin/sh\nexit ${LINGER_STATUS:-0}\n",
    }
    for name, text in {**texts, "sudo": "#!/bin/sh\nexit 1\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in ("NOTES", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PROPERTIES", PROPERTIES)
    return tmp_path / "notes"
