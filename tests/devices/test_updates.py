"""Updates that a device fetches itself: from `publish` over real HTTPS to the release in use, and back when it fails.

The device is this machine with a home of its own; systemd is a stand-in, and so is the Python that tries the model.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import write_certificate
from edgenet_device.errors import EdgenetError
from edgenet_device.events import stored
from edgenet_device.trust import Trust, read_trust, write_trust
from edgenet_device.updates import update as updating
from edgenet_device.updates.download import Site, check_url
from edgenet_device.updates.index import read_index
from edgenet_device.updates.update import Trial, UpdateRequest, UpdateState, read_state, update, write_state
from tiny_model import tiny_model
from update_site import Files, serving

from edgenet.bundle import write_bundle
from edgenet.devices import releases
from edgenet.devices.local import LocalDevice
from edgenet.devices.releases import release_of
from edgenet.devices.updates import has_updates, install_updates, require_trust
from edgenet.manifest import Facts, Weights
from edgenet.signing import KeyPair, open_signer, write_key_pair
from edgenet.workflows.publish import publish

FACTS = Facts("colours", Weights("made for a test", "Apache-2.0"))
# $HOME/restarts counts the restarts that systemd does by itself; a service of bad*.edgenet has failed.
SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$NOTES"
home="$XDG_DATA_HOME/edgenet" state=active
case $(ls "$home/current/") in *bad*) state=failed ;; esac
case "$1 $*" in
    "--user "*show*) printf 'LoadState=loaded\\nActiveState=%s\\nNRestarts=0\\n' $state ;;
    *show*) printf 'LoadState=not-found\\nActiveState=inactive\\n' ;;
esac
"""


class Place:
    """A device and the server that it fetches from."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "data" / "edgenet"
        self.pair, self.stranger = (write_key_pair(folder / name) for name in ("maker.key", "stranger.key"))
        self.first = ""
        self.site, self.authority = folder / "site", folder / "authority.pem"
        write_certificate(self.authority)
        self.handler = type("TheseFiles", (Files,), {"asked": []})
        self.said: list[str] = []
        self.port = 0

    def bundle(self, name: str, size: int = 32) -> Path:
        path = self.folder / f"{name}.edgenet"
        write_bundle(path, tiny_model(size=size), ["red", "green", "blue"], FACTS)
        return path

    def install(self, bundle: Path) -> str:
        """Put a release in use, as `deploy` does it."""
        device = LocalDevice()
        environment = self.home / "environments" / "env" / "bin"
        environment.mkdir(parents=True)
        (environment / "python").write_text(
            f'#!/bin/sh\necho "$@" >>"$NOTES"\nexit $(cat "{self.folder}/status")\n'
        )
        (environment / "python").chmod(0o755)
        (self.folder / "status").write_text("0")
        made = release_of(bundle, "env")
        folder = Path(releases.prepare(device, made.identity))
        for name, content in made.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        releases.commit(device, made.identity, "env")
        releases.mark_verified(device, made.identity)
        releases.activate(device, made.identity)
        write_trust(self.home / "trust.json", Trust(open_signer(self.pair.private).key, 0))
        return made.identity

    def publish(self, bundle: Path, pair: KeyPair | None = None, folder: str = "site") -> Any:
        return publish(bundle, self.folder / folder, sign=(pair or self.pair).private)

    def update(self, **more: Any) -> None:
        url = f"https://127.0.0.1:{self.port}"
        update(UpdateRequest(self.home, url, self.authority, watch_s=0.05, **more), self.said.append)

    @property
    def current(self) -> str:
        return (self.home / "current").readlink().name

    @property
    def state(self) -> UpdateState:
        return read_state(self.home / "updates" / "state.json")


@pytest.fixture
def place(tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("NOTES", str(notes))
    (tmp_path / "bin" / "systemctl").write_text(SYSTEMCTL)
    made = Place(tmp_path)
    made.first = made.install(made.bundle("first"))
    with serving(made.site, made.authority, made.handler) as made.port:
        yield made


def test_the_newest_bundle_is_fetched_once_and_lives_through_its_first_minutes(
    place: Place, notes: Path
) -> None:
    published = place.publish(place.bundle("second", 24))
    place.update()
    wanted = release_of(Path(published.bundle), "env").identity  # so a later deploy finds it in its place
    assert (place.current, releases.running(LocalDevice())[1]) == (wanted, place.first)
    name = Path(published.bundle).name
    assert place.said == [f"{name} is in use now ({wanted})"]
    start = (place.home / "current" / "camera.sh").read_text()
    assert f'"$here/{name}"' in start
    assert read_trust(place.home / "trust.json").newest == published.signed_at  # type: ignore[union-attr]
    assert "--user restart edgenet-camera.service" in notes.read_text()
    assert f"try-model {place.home}/releases/{wanted}/{name}" in notes.read_text()
    assert sorted(path.name for path in (place.home / "updates").iterdir()) == [
        "last.txt",
        "lock",
        "state.json",
    ]
    place.update()
    assert place.said[-1] == f"{name} is in use already"
    assert place.handler.asked == [None]


def test_one_that_fails_in_its_first_minutes_goes_and_is_not_tried_again(place: Place) -> None:
    published = place.publish(place.bundle("bad", 24))
    again = "the update has failed: its service has failed; the release before .* runs again"
    with pytest.raises(EdgenetError, match=again):
        place.update()
    assert place.current == place.first
    assert read_trust(place.home / "trust.json").newest == 0  # type: ignore[union-attr]
    assert place.state == UpdateState(None, {published.sha256: "its service has failed"})
    place.update()
    assert "has failed on this device: its service has failed; it is not tried again" in place.said[-1]
    last = (place.home / "updates" / "last.txt").read_text()
    assert last.endswith(f" {place.said[-1]}\n")
    with pytest.raises(EdgenetError, match=again):
        place.update(retry=True)
    place.publish(place.bundle("good", 40))
    place.update()
    assert place.current != place.first


def test_a_model_that_does_not_run_changes_nothing(place: Place) -> None:
    published = place.publish(place.bundle("second", 24))
    (place.folder / "status").write_text("1")
    with pytest.raises(EdgenetError, match="the model does not run on this device"):
        place.update()
    assert place.current == place.first
    assert published.sha256 in place.state.refused


def test_older_and_signed_by_another_and_trusted_by_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = open_signer(place.pair.private).key
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000")
    place.publish(place.bundle("second", 24))
    write_trust(place.home / "trust.json", Trust(key, 2000))
    with pytest.raises(
        EdgenetError, match="was signed 1,000 s before the newest bundle that this device was given"
    ):
        place.update()
    with pytest.raises(EdgenetError, match="the updates are signed by the key"):
        place.publish(place.bundle("third"), place.stranger)
    place.publish(place.bundle("third"), place.stranger, "other")
    for path in (place.folder / "other").iterdir():
        shutil.copy(path, place.site)
    with pytest.raises(
        EdgenetError, match=f"signed by the key {place.stranger.name}, and this device trusts"
    ):
        place.update()
    (place.home / "trust.json").unlink()
    with pytest.raises(EdgenetError, match="this device trusts no key, so it takes no updates"):
        place.update()
    assert place.current == place.first
    assert place.handler.asked == []
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "10")
    with pytest.raises(EdgenetError, match="was signed 990 s later than now; check this computer's clock"):
        place.publish(place.bundle("third"), place.stranger, "other")


def test_a_changed_bundle_or_index_is_refused(place: Place) -> None:
    published = place.publish(place.bundle("second", 24))
    index = Path(published.index)
    data = Path(published.bundle).read_bytes()
    Path(published.bundle).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(EdgenetError, match="is another file than its index says"):
        place.update()
    parts = json.loads(index.read_text())
    trust = Trust(open_signer(place.pair.private).key, 0)
    for change, message in (
        ({"index": parts["index"].replace("second", "secand")}, "is not one of its index"),
        ({"schema": "x"}, "is no index of updates"),
        ({"key": "x"}, "is no index of updates"),
        ({"index": 1}, "is no index of updates"),
    ):
        with pytest.raises(EdgenetError, match=message):
            read_index(json.dumps({**parts, **change}).encode(), trust)


def test_a_download_goes_on_where_it_was_cut_off(place: Place) -> None:
    place.publish(place.bundle("second", 24))
    place.handler.cut = 1000
    with pytest.raises(EdgenetError, match=r"127\.0\.0\.1 (ended the connection after|cannot be used)"):
        place.update()
    place.update()
    assert place.handler.asked == [None, "bytes=1000-"]
    assert place.current != place.first


def test_a_power_failure_in_the_first_minutes(place: Place) -> None:
    published = place.publish(place.bundle("second", 24))
    place.update()
    now, before = place.current, place.first
    trial = Trial(now, before, published.sha256, published.signed_at, starts=1)
    file = place.home / "updates" / "state.json"
    write_state(file, UpdateState(trial))
    place.update()
    assert "they begin again" in place.said[-2]
    assert (place.current, place.state.trial) == (now, None)
    write_state(file, UpdateState(Trial(now, before, published.sha256, published.signed_at, starts=2)))
    with pytest.raises(
        EdgenetError, match="this device was cut off 2 times in the first minutes; the release before"
    ):
        place.update()
    assert place.current == before
    file.write_text("{")
    assert place.state == UpdateState()
    write_state(file, UpdateState(trial))  # cut off before the switch: the update begins anew
    place.update()
    assert place.current == now


def test_a_clock_of_1970_a_full_disk_and_another_update(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(place.bundle("second", 24))
    with updating._only_one(place.home), pytest.raises(EdgenetError, match="another update is running"):
        place.update()
    with monkeypatch.context() as patch:
        patch.setattr("edgenet_device.updates.download.SPARE_BYTES", 1 << 60)
        with pytest.raises(
            EdgenetError, match=r"there is no room for the update in .*; what runs now goes on"
        ):
            place.update()
    future = place.folder / "future.pem"
    write_certificate(future, first_day=300)
    monkeypatch.setattr(stored.time, "time", lambda: 100.0)
    clock = r"certificate is not yet valid; this device's clock is not set\); set the clock: sudo timedatectl"
    with serving(place.site, future) as port, pytest.raises(EdgenetError, match=clock):
        Site(f"https://127.0.0.1:{port}", future).read("updates.json", 1000)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_really_full(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """First there is no room for the download, then none for the release that is made of it."""
    place.publish(place.bundle("second", 24))
    monkeypatch.setattr("edgenet_device.updates.download.SPARE_BYTES", -(1 << 40))
    whole = place.folder / "whole"
    place.home.rename(whole)
    place.home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "edgenet-test", place.home], check=False
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        shutil.copytree(whole, place.home, symlinks=True, dirs_exist_ok=True)
        (place.home / "updates").mkdir()
        filler = place.home / "filler"
        for spare, message in (
            (0, "there is no room for the update"),
            (300_000, "cannot copy the release .*No space"),
        ):
            filler.write_bytes(bytes(max(0, shutil.disk_usage(place.home).free - spare)))
            with pytest.raises(EdgenetError, match=rf"{message}.*what runs now goes on"):
                place.update()
            filler.unlink()
            assert place.current == place.first
            assert not [*place.home.glob("incoming-*"), *place.home.glob("updates/*.part")]
        place.update()
        assert place.current != place.first
    finally:
        subprocess.run(["umount", place.home], check=True)


def test_a_release_with_a_changed_script_is_not_copied(place: Place) -> None:
    place.publish(place.bundle("second", 24))
    (place.home / "current" / "device_scripts" / "camera.py").write_text("changed")
    with pytest.raises(
        EdgenetError, match=r"device_scripts/camera\.py was changed there; deploy once from a computer"
    ):
        place.update()
    assert place.current == place.first
    assert not list(place.home.glob("incoming-*"))


def test_the_timer_is_installed_and_removed(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, url = LocalDevice(), "https://updates.example/a%20b"
    with pytest.raises(
        EdgenetError, match="local trusts no key, so it would take nobody's updates; add --trust"
    ):
        require_trust(device, url, None)
    require_trust(device, url, b"key")
    Path(device.home).mkdir(parents=True)
    assert install_updates(device, url) == ()
    units = tmp_path / "xdg_config_home" / "systemd" / "user"
    assert "--user enable --quiet --now edgenet-update.timer" in notes.read_text()
    assert (has_updates(device, url), has_updates(device, "off")) == (True, False)
    assert not has_updates(device, "https://elsewhere.example")
    if shutil.which("systemd-analyze"):
        for unit in units.iterdir():
            command = ["systemd-analyze", "--user", "verify", str(unit)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert "edgenet-update" not in done.stderr, done.stderr
    assert install_updates(device, "off") == ()
    assert not list(units.iterdir())
    assert has_updates(device, "off")


@pytest.mark.parametrize(
    "url",
    [
        "http://h/x",
        "https://",
        "https://u@h/x",
        "https://h/x?key=1",
        "https://h:99999/",
        "ftp://h",
        "https://h/\n",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(
        EdgenetError, match="is not the address of a folder of updates; give https://HOST/FOLDER"
    ):
        check_url(url)
