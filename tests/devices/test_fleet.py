"""Eight devices at once: eight userlands behind real OpenSSH servers, each with a root and a network of its own.

Their Python is this one, and systemd is a stand-in: a service runs unless its bundle is called bad.edgenet. Where no
userlands can be made, which needs root's rights, they are OpenSSH servers that share this machine.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from certificates import write_certificate
from ready_environments import environment_key, write_environment
from ssh_servers import SshServer
from tiny_model import tiny_model
from typer.testing import CliRunner
from update_site import serving
from userlands import Userland

from edgenet.bundle import sign_bundle, write_bundle
from edgenet.commands.app import app
from edgenet.devices.targets import open_device
from edgenet.errors import EdgenetError
from edgenet.manifest import Facts, Weights
from edgenet.signing import open_signer, write_key_pair
from edgenet.workflows.bench import bench
from edgenet.workflows.deploy import deploy
from edgenet.workflows.fleet import FleetResult, configure_fleet, rollback_fleet, status_fleet
from edgenet.workflows.fleet_deploy import deploy_fleet
from edgenet.workflows.publish import publish
from edgenet.workflows.status import Status, status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="Python reads TOML from 3.11 on"),
]
Server = Userland | SshServer
ROOT = Path(__file__).resolve().parents[2]
NAMES = "abcdefgh"
SYSTEMCTL = """#!/bin/sh
unit="$HOME/.config/systemd/user/edgenet-camera.service" home="$HOME/.local/share/edgenet"
state=inactive
[ ! -e "$unit" ] || state=active
[ ! -e "$home/current/bad.edgenet" ] || state=failed
case "$*" in
    --version) echo "systemd 252 (252.1)" ;;
    "--user show -p LoadState"*)
        [ -e "$unit" ] && echo LoadState=loaded || echo LoadState=not-found
        printf 'ActiveState=%s\\nNRestarts=0\\nActiveEnterTimestampMonotonic=0\\n' $state ;;
    *LoadState*) echo LoadState=not-found ;;
    "--user show "*ActiveState*) echo $state ;;
    *ActiveState*) echo inactive ;;
esac
"""
JOURNALCTL = (
    "#!/bin/sh\necho '2026-11-25T22:58:53+0000 pi python[5]: error: the labels of bad.edgenet are missing'\n"
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Eight servers and one more, not running yet, each with a Python environment."""
    with ExitStack() as until:
        made = make_servers(tmp_path_factory, until)
        texts = {"systemctl": SYSTEMCTL, "journalctl": JOURNALCTL, "loginctl": "#!/bin/sh\n"}
        for place, (name, text) in itertools.product({server.bin for server in made}, texts.items()):
            place.mkdir(exist_ok=True)
            (place / name).write_text(text)
            (place / name).chmod(0o755)
        until.enter_context(pytest.MonkeyPatch.context()).setenv(
            "EDGENET_SSH_CONFIG", str(made[0].folder / "config")
        )
        make_environments(made)
        yield made


def make_servers(tmp_path_factory: pytest.TempPathFactory, until: ExitStack) -> list[Server]:
    """Make userlands, or servers that share this machine."""
    folder = tmp_path_factory.mktemp("fleet")
    try:
        return [until.enter_context(Userland(folder, name)) for name in f"{NAMES}i"]
    except OSError as reason:
        warnings.warn(f"the eight devices are not userlands of their own here: {reason}", stacklevel=1)
        folder = tmp_path_factory.mktemp("fleet-here")
        return [
            SshServer(folder, name, {"EDGENET_CACHE": str(folder / f"cache-{name}")}) for name in f"{NAMES}i"
        ]


def make_environments(servers: list[Server]) -> None:
    """Put an environment there under the name that edgenet looks for: making eight would take minutes."""
    with servers[0].running(), open_device("ssh:a") as device:
        key = environment_key(device)
    for server in servers:
        # The model is tried on some devices only: on all of them it would take many seconds.
        tried = "" if server.name in "abci" else 'case "$*" in *try-model*) echo "{}"; exit ;; esac\n'
        write_environment(server.home / ".local/share/edgenet", key, tried, "/usr/bin:/bin")
        owner = server.home.stat()
        for path in (server.home / ".local").rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)
        os.chown(server.home / ".local", owner.st_uid, owner.st_gid)


@pytest.fixture(scope="module")
def fleet(servers: list[Server]) -> Path:
    """Their fleet file; b is the canary."""
    path = servers[0].folder / "fleet.toml"
    devices = "".join(
        f'[devices.{name}]\non = "ssh:{name}"\n{"canary = true" * (name == "b")}\n' for name in NAMES
    )
    path.write_text(f'{devices}\n[groups]\nfirst = ["a", "b"]\n')
    return path


def bundle(folder: Path, name: str, size: int) -> Path:
    path = folder / f"{name}.edgenet"
    facts = Facts(name, Weights("made for a test", "Apache-2.0"))
    write_bundle(path, tiny_model(size=size), ["red", "green", "blue"], facts)
    return path


def states(result: FleetResult) -> str:
    return " ".join(f"{row.device}:{row.state}" for row in result.rows)


def every(state: str, names: str = NAMES) -> str:
    return " ".join(f"{name}:{state}" for name in names)


def test_they_share_nothing_that_one_of_them_can_write(servers: list[Server]) -> None:
    if not isinstance(servers[0], Userland):
        pytest.skip("these servers share this machine: userlands of their own need root's rights")
    told = []
    with servers[0].running(), servers[1].running():
        for name in "ab":
            with open_device(f"ssh:{name}") as device:
                assert (
                    device.run(["sh", "-c", "touch ~/mine /tmp/mine /var/tmp/mine /dev/shm/mine"]).status == 0
                )
                command = "ls -d /home/* /tmp/* /var/tmp/mine; cat /etc/machine-id /etc/hostname; id -un; ip -o -4 addr"
                told.append(device.run(["sh", "-c", command]).out.decode().split())
    assert {"/home/pi", "/tmp/mine", "/var/tmp/mine", "pi"} <= set(told[0]) & set(told[1])
    assert set(told[0]) ^ set(told[1]) >= {"a", "b", servers[0].address + "/30", servers[1].address + "/30"}
    assert not Path("/var/tmp/mine").exists()
    assert Path("/etc/machine-id").read_text().strip() not in (*told[0], *told[1])


def test_a_rollout_that_is_resumed_stopped_and_undone(
    servers: list[Server], fleet: Path, tmp_path: Path
) -> None:
    good, bad = bundle(tmp_path, "good", 24), bundle(tmp_path, "bad", 32)
    order: list[str] = []
    with ExitStack() as half, ExitStack() as rest:
        for server in servers[:4]:
            half.enter_context(server.running())
        first = deploy_fleet(
            good,
            str(fleet),
            check=0.2,
            wave=3,
            show=lambda row: order.append(row.device),
            arguments={"service": True},
        )
        assert states(first) == f"{every('done', 'abcd')} {every('unreachable', 'efgh')}"
        assert sorted(order[:4]) == list("efgh")  # they are asked before anything is done
        assert order[4] == "b"  # the canary
        assert "refuses connections" in first.rows[4].note
        assert not first.complete
        with pytest.raises(
            EdgenetError, match=r"a \(ssh:a\) and ssh:\w+@a \(ssh:\w+@a\) are the same device"
        ):
            deploy_fleet(good, [f"{fleet}:a", f"ssh:{servers[0].user}@a"])
        for server in servers[4:8]:
            rest.enter_context(server.running())
        done = CliRunner().invoke(
            app,
            ["deploy", str(good), "--on", str(fleet), "--service", "--check", "0.2"],
            env={"COLUMNS": "120"},
        )
        assert done.exit_code == 0, done.output
        assert "4 as wanted already, 4 done" in done.output
        before = [
            row.result.release for row in status_fleet(str(fleet)).rows if isinstance(row.result, Status)
        ]
        assert len(before) == 8

        stopped = deploy_fleet(bad, f"{fleet}:first", check=0.2)
        assert states(stopped) == "a:not tried b:failed"
        assert (
            "its service is failed 0.2 s after the deploy: the labels of bad.edgenet are missing"
            in stopped.rows[1].note
        )
        assert "the release before runs again" in stopped.rows[1].note
        after = status_fleet(f"{fleet}:first").rows
        assert [row.result.release for row in after if isinstance(row.result, Status)] == before[:2]

        changed = configure_fleet(f"{fleet}:first", options=["--threshold", "0.6"])
        assert [row.result.options for row in changed.rows] == [("--threshold=0.6",)] * 2  # type: ignore[union-attr]
        rest.close()
        back = rollback_fleet(f"{fleet}:first")
        assert states(back) == "a:failed b:done"
        assert "there is no previous release" in back.rows[0].note
        measured = bench(good, on=f"{fleet}:a,{fleet}:g", runs=3, min_seconds=0.01)
        assert [report["target"] for report in measured.reports] == [f"{fleet}:a"]
        assert [failure.target for failure in measured.failures] == [f"{fleet}:g"]


def test_a_device_that_fetches_its_updates_itself(servers: list[Server], tmp_path: Path) -> None:
    pair, certificate, site = (
        write_key_pair(tmp_path / "maker.key"),
        tmp_path / "authority.pem",
        tmp_path / "site",
    )
    write_certificate(certificate, address=servers[8].host)
    signed = tmp_path / "signed.edgenet"
    sign_bundle(bundle(tmp_path, "first", 24), signed, open_signer(pair.private))
    with servers[8].running(), serving(site, certificate, address=servers[8].host) as port:
        url = f"https://{servers[8].host}:{port}"
        with pytest.raises(EdgenetError, match="ssh:i trusts no key"):
            deploy(signed, "ssh:i", updates=url)
        first = deploy(signed, "ssh:i", trust=pair.public, updates=url)
        published = publish(bundle(tmp_path, "second", 32), site, sign=pair.private)
        with open_device("ssh:i") as device:
            unit = device.run(["sh", "-c", "cat ~/.config/systemd/user/edgenet-update.service"]).out.decode()
            device.push({"authority.pem": certificate}, f"{device.home}/authority")
            start = f'"{device.home}/edgenet-device" "update" "{url}" "--home" "{device.home}"'
            assert f"ExecStart={start}\n" in unit
            command = [
                f"{device.home}/edgenet-device",
                "update",
                url,
                "--ca",
                f"{device.home}/authority/authority.pem",
                "--watch",
                "0.1",
            ]
            done = device.run(command)
            assert done.status == 0, done.err
            name = Path(published.bundle).name
            assert f"{name} is in use now" in done.out.decode()
            assert "no service runs that could be watched" in done.out.decode()
        now = status("ssh:i")
        assert now.bundle == name
        assert f"{name} is in use now" in (now.updates or "")
        again = deploy(published.bundle, "ssh:i")  # it is the release that the device has made itself
        assert (again.moved, again.swapped, again.previous) == (False, False, first.release)


def test_the_ansible_role_does_the_same_steps(
    servers: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real ansible-playbook: two devices that answer, one that does not, and a bundle that fails."""
    program = shutil.which("ansible-playbook", path=f"{ROOT / '.envs/ansible/bin'}:{os.environ['PATH']}")
    if program is None:
        pytest.skip(
            "no Ansible: python3 -m venv .envs/ansible; .envs/ansible/bin/pip install -r tests/ansible.txt"
        )
    monkeypatch.setenv("HOME", str(tmp_path))  # where Ansible keeps its files
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "device_scripts"))))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "")  # it was installed without byte code
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    inventory = {"hosts": {name: {} for name in "ihg"}, "vars": {"edgenet_options": ["--service"]}}
    (tmp_path / "inventory.json").write_text(json.dumps({"cameras": inventory}))
    facts = {"edgenet_command": [sys.executable, "-m", "edgenet"], "edgenet_check": 0.2}

    def play(bundle: Path) -> subprocess.CompletedProcess[str]:
        command = [program, "-i", tmp_path / "inventory.json", ROOT / "ansible" / "deploy.yml", "-e"]
        more = json.dumps({**facts, "edgenet_bundle": str(bundle)})
        return subprocess.run([*command, more], capture_output=True, text=True, check=False)

    (servers[8].home / ".local/share/edgenet/trust.json").unlink(missing_ok=True)
    with servers[8].running(), servers[7].running():  # i and h; g is off
        done = play(bundle(tmp_path, "good", 24))
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"msg": "done"' in done.stdout
        assert '"msg": "unreachable: ssh:g refuses connections' in done.stdout
        failed = play(bundle(tmp_path, "bad", 32))
        assert failed.returncode != 0
        assert "the release before runs again" in failed.stdout
        assert (
            "h      " not in failed.stdout.partition("PLAY RECAP")[2]
        )  # the batch after the canary never came
        assert {status(f"ssh:{name}").bundle for name in "ih"} == {"good.edgenet"}
