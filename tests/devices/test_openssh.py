"""A device behind a real OpenSSH server: this machine itself, with a home of its own."""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from benchmark_outputs import printing
from deploying_studio import deploying_studio
from endless_stream import playing
from field_camera import correct, film, scene, wait_until
from interrupted import interrupted
from old_release import BUNDLE, write_old_release
from service_programs import JOURNALCTL, SYSTEMCTL
from small_classifiers import Layout, classifier_file
from ssh_servers import SshServer, key
from stand_in_program import stand_in
from tiny_model import tiny_model
from wheel_index import make_wheel, package_index

from edgenet.bundle import write_bundle
from edgenet.devices.device import Ssh
from edgenet.devices.install import install_release, try_model
from edgenet.devices.ssh_connection import SshConnection
from edgenet.devices.targets import open_device
from edgenet.devices.unit import UNIT
from edgenet.errors import EdgenetError
from edgenet.manifest import Facts, Weights
from edgenet.workflows.bench import bench
from edgenet.workflows.camera import capture
from edgenet.workflows.collect import collect
from edgenet.workflows.configure import configure
from edgenet.workflows.convert import convert
from edgenet.workflows.deploy import deploy, rollback
from edgenet.workflows.package import package
from edgenet.workflows.status import status
from edgenet.workflows.train import TrainingOptions, train

pytestmark = pytest.mark.slow
TARGET = "ssh:there"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running sshd: its keys, the home of who logs in, and our ssh_config."""
    server = SshServer(tmp_path_factory.mktemp("sshd"), "there")
    with server.running():
        yield server.folder


@pytest.fixture
def there(server: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home there, with ssh as the test's user has it configured."""
    monkeypatch.setenv("EDGENET_SSH_CONFIG", str(server / "config"))
    return server / "home-there"


def test_deploy_over_a_release_with_the_older_layout_of_scripts(there: Path, tmp_path: Path) -> None:
    home = there / ".local/share/edgenet"
    old = write_old_release(home)  # the first test here: nothing is installed yet
    assert status(TARGET).bundle == BUNDLE
    model = tmp_path / "new.tflite"
    model.write_bytes(tiny_model(size=24))
    new = deploy(model, TARGET)
    assert (new.previous, new.moved) == (old, True)
    assert status(TARGET).bundle == "new.tflite"
    assert rollback(TARGET).release == old
    done = subprocess.run(["sh", home / "current/camera.sh", "0"], capture_output=True, text=True, check=True)
    assert done.stdout == f"the old camera {BUNDLE} 0\n"
    assert rollback(TARGET).release == new.release


def test_deploy_twice_another_one_and_back(there: Path, tmp_path: Path) -> None:
    models = [tmp_path / "first.tflite", tmp_path / "second.tflite"]
    for model, size in zip(models, (40, 48), strict=True):
        model.write_bytes(tiny_model(size=size))
    first = deploy(models[0], TARGET)
    current = there / ".local/share/edgenet/current"
    assert current.is_symlink()
    assert (current / "first.tflite").read_bytes() == models[0].read_bytes()
    assert first.moved
    again = deploy(models[0], TARGET)
    assert (again.release, again.moved, again.swapped, again.packages) == (first.release, False, False, ())
    second = deploy(models[1], TARGET)
    assert (second.moved, second.previous) == (True, first.release)
    assert (current / "second.tflite").is_file()
    assert rollback(TARGET).release == first.release
    assert (current / "first.tflite").is_file()
    (report,) = bench(models[0], on=TARGET).reports
    assert report["model"]["sha256"]
    assert report["steady_state"]["n"] >= 50


@contextmanager
def stand_ins_for_systemd(server: Path) -> Iterator[None]:
    """Put stand-ins for systemd's programs before the real ones, for who logs in."""
    programs = server / "bin"
    programs.mkdir()
    for name, text in {"systemctl": SYSTEMCTL, "journalctl": JOURNALCTL, "loginctl": "#!/bin/sh\n"}.items():
        (programs / name).write_text(text.replace('"$NOTES"', "/dev/null"))
        (programs / name).chmod(0o755)
    try:
        yield
    finally:
        shutil.rmtree(programs)


OTHER_MAKERS = {
    "uint8": (Layout(dtype="uint8"), None),
    "grey int8, one output": (Layout((1, 8, 8, 1), "int8", classes=1, head="LOGISTIC"), None),
    "float logits, channels first, not square": (Layout((1, 3, 6, 10), head=None), "-1..1"),
}
"""Finished files, and the normalization of those that do not say it."""


@pytest.mark.parametrize("kind", OTHER_MAKERS)
def test_finished_files_of_other_makers_run_there(there: Path, tmp_path: Path, kind: str) -> None:
    layout, normalization = OTHER_MAKERS[kind]
    model, photo = tmp_path / "theirs.tflite", tmp_path / "green.png"
    model.write_bytes(classifier_file(layout))
    cv2.imwrite(str(photo), np.full((40, 60, 3), (0, 250, 0), np.uint8))

    def seen() -> str:
        """Return the best label that the camera of the release in use gives the photo."""
        command = ["sh", there / ".local/share/edgenet/current/camera.sh", photo, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return str(json.loads(done.stdout.splitlines()[1])["label"])

    if normalization is not None:
        with pytest.raises(EdgenetError, match=r"--normalization .*edgenet package"):
            deploy(model, TARGET)
    elif layout.classes == 3:
        assert deploy(model, TARGET).moved
        assert seen() == "class 1"
    labels = ("red", "green", "blue") if layout.classes == 3 else ("dark", "bright")
    assert deploy(package(model, labels=labels, normalization=normalization).out, TARGET).moved
    assert seen() == labels[1]


def test_the_service_s_options_survive_a_deploy_of_a_bundle_that_has_their_labels(
    there: Path, colours: Path, tmp_path: Path, server: Path
) -> None:
    """With stand-ins for systemd's programs; test_configure.py tries the rest of it on this machine."""
    with stand_ins_for_systemd(server):
        options = ["--on-label", "green", "--exec", "/bin/true", "--log", str(tmp_path / "logs" / "seen.csv")]
        done = deploy(colours, TARGET, service=True, options=options)
        assert done.service == "installed"
        unit = there / f".config/systemd/user/{UNIT}"
        assert f'BindPaths="-{tmp_path / "logs"}"' in unit.read_text()
        assert (tmp_path / "logs").is_dir()
        kept = configure(TARGET).options
        assert kept == ("--on-label=green", "--exec=/bin/true", f"--log={tmp_path / 'logs' / 'seen.csv'}")
        other = tmp_path / "other.edgenet"
        facts = Facts("animals", Weights("made for a test", "Apache-2.0"))
        write_bundle(other, tiny_model(size=24), ["cat", "dog", "cow"], facts)
        before = status(TARGET).release
        with pytest.raises(EdgenetError, match="the model has no label 'green'"):
            deploy(other, TARGET)
        with pytest.raises(EdgenetError, match="the model has no label 'gren'; the nearest: 'green'"):
            configure(TARGET, options=["--on-label", "gren", "--exec", "/bin/true"])
        assert (status(TARGET).release, status(TARGET).options) == (before, kept)
        again = deploy(colours, TARGET, service=True)
        assert (again.service, again.moved) == ("installed", False)
        assert status(TARGET).options == kept


def ctrl_c() -> None:
    raise KeyboardInterrupt


def test_deploy_stopped_at_every_step(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time what ran before still runs, whole; the next deploy ends what the last one began."""
    models = [tmp_path / "first.tflite", tmp_path / "second.tflite"]
    for model, size in zip(models, (8, 16), strict=True):
        model.write_bytes(tiny_model(size=size))
    first = deploy(models[0], TARGET)
    current = there / ".local/share/edgenet/current"
    steps = 0
    while True:
        with monkeypatch.context() as patch:
            patch.setattr(
                "edgenet.workflows.deploy.open_device", lambda to, left=steps: interrupted(to, left, ctrl_c)
            )
            try:
                done = deploy(models[1], TARGET)
                break
            except KeyboardInterrupt:
                steps += 1
        running = "second" if current.readlink().name != first.release else "first"
        assert (current / "verified").exists()
        sums = subprocess.run(
            ["sha256sum", "-c", "SHA256SUMS"], cwd=current, capture_output=True, check=False
        )
        assert sums.returncode == 0
        assert (current / f"{running}.tflite").exists()
    assert steps > 8
    assert current.readlink().name == done.release
    assert not list(current.parent.glob("incoming-*"))
    with open_device(TARGET) as device:
        placed = install_release(models[1], device)
        assert not placed.copied
        try_model(placed.installed)
    assert rollback(TARGET).release == first.release


ENDS_ITS_CONNECTION = """#!/bin/sh
of=$PPID
while [ "$(cat /proc/$of/comm)" != sshd ]; do of=$(cut -d ' ' -f 4 /proc/$of/stat); done
kill -9 "$of"
"""
"""An rsync whose machine goes away as soon as files shall come."""


def test_the_studio_says_in_one_line_that_a_device_went_away_in_mid_deploy(
    server: Path, there: Path, colours: Path, tmp_path: Path
) -> None:
    current = there / ".local/share/edgenet/current"
    programs = server / "bin"
    with deploying_studio(tmp_path / "things", TARGET) as studio:
        studio.bundle("before", colours.read_bytes())
        before = studio.does("install")["release"]
        studio.bundle("after", colours.read_bytes())
        programs.mkdir()
        (programs / "rsync").write_text(ENDS_ITS_CONNECTION)
        (programs / "rsync").chmod(0o755)
        try:
            assert studio.fails("install").startswith(
                f"the connection to {TARGET} is lost; check the device's"
            )
        finally:
            shutil.rmtree(programs)
        assert current.readlink().name == before, "what ran there before goes on"
        assert studio.does("install")["previous"] == before


def test_a_program_there_gets_its_arguments_as_they_are(there: Path) -> None:
    with open_device(TARGET) as device:
        done = device.run(["printf", "%s\n", "a b", "$(id)", "'", "*"])
        assert done.out.decode().splitlines() == ["a b", "$(id)", "'", "*"]
        assert device.run(["sh", "-c", "exit 255"]).status == 255
        assert device.run(["sh", "-c", "kill -9 $$"]).status == 137


def test_a_port_there(there: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        open_device(TARGET) as device,
        device.forward(listener.getsockname()[1]) as here,
        socket.create_connection(("127.0.0.1", here), timeout=60) as client,
    ):
        connection, _ = listener.accept()
        with connection:
            client.sendall(b"hello")
            assert connection.recv(5) == b"hello"


@pytest.mark.parametrize("checking", ["", "  StrictHostKeyChecking no\n", "  StrictHostKeyChecking off\n"])
def test_a_changed_host_key_is_refused(
    there: Path, server: Path, monkeypatch: pytest.MonkeyPatch, checking: str
) -> None:
    other = key(server / f"other-{len(checking)}")
    kind, public, *_ = Path(f"{other}.pub").read_text().split()
    port = (server / "known").read_text().split()[0]
    (server / "wrong").write_text(f"{port} {kind} {public}\n")
    config = (server / "config").read_text().replace("/known", "/wrong") + checking
    (server / "wrong-config").write_text(config)
    monkeypatch.setenv("EDGENET_SSH_CONFIG", str(server / "wrong-config"))
    with pytest.raises(EdgenetError, match="key"), open_device(TARGET):
        pass


@pytest.mark.parametrize(("setting", "limit"), [("", ["10"]), ("  ConnectTimeout 45\n", [])])
def test_the_time_limit_of_the_users_configuration_is_kept(
    there: Path, server: Path, monkeypatch: pytest.MonkeyPatch, setting: str, limit: list[str]
) -> None:
    """An option of ours would win over the configuration."""
    (server / "slow-config").write_text((server / "config").read_text() + setting)
    monkeypatch.setenv("EDGENET_SSH_CONFIG", str(server / "slow-config"))
    connection = SshConnection(Ssh("there"), TARGET)
    given = [option for option in connection.transport() if option.startswith("ConnectTimeout=")]
    connection.close()
    assert given == [f"ConnectTimeout={seconds}" for seconds in limit]


def test_benchmark_model_is_brought_once(there: Path, tmp_path: Path) -> None:
    """With a stand-in for the program, which prints what the real one has printed (benchmark_outputs.py)."""
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the stand-in knows the instructions of two machines")
    model, program = tmp_path / "tiny.tflite", tmp_path / "benchmark_model"
    model.write_bytes(tiny_model(size=32))
    program.write_bytes(stand_in(printing("runs", "delegated")))
    (report,) = bench(model, on=TARGET, benchmark_model=program).reports
    assert (report["route"], report["target"]) == ("benchmark_model", TARGET)
    assert report["steady_state"]["p50_ms"] == 3.271
    home = there / ".local/share/edgenet"
    (placed,) = home.glob("tools/*/bin/benchmark_model")
    number = placed.stat().st_ino
    bench(model, on=TARGET, benchmark_model=program)
    assert placed.stat().st_ino == number
    placed.write_bytes(b"damaged")
    bench(model, on=TARGET, benchmark_model=program)
    assert placed.read_bytes() == program.read_bytes()
    assert not list(home.glob("measuring-*"))


PROGRAM = """import os
import sys

import greeting
from edgenet_device import Classifier

bundle = Classifier(os.environ["EDGENET_BUNDLE"]).model.path.name
print(greeting.TEXT, bundle, *sys.argv[1:])
"""


def test_code_of_ones_own_over_three_deploys_and_a_rollback(
    there: Path, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins for systemd's programs; what the service would start is started here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models = [tmp_path / f"model-{size}.tflite" for size in (8, 16, 24)]
    for model, size in zip(models, (8, 16, 24), strict=True):
        model.write_bytes(tiny_model(size=size))
    mine, needs = tmp_path / "my_app.py", tmp_path / "requirements.txt"
    mine.write_text(PROGRAM)
    needs.write_text("greeting==1.0\n")
    home, unit = there / ".local/share/edgenet", there / f".config/systemd/user/{UNIT}"

    def started() -> str:
        """What the unit's program prints."""
        (line,) = (line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
        words = [word.replace("$$", "$") for word in shlex.split(line.partition("=")[2])]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    with stand_ins_for_systemd(server):
        with package_index(
            tmp_path / "index", [make_wheel(tmp_path, "greeting", "1.0", "TEXT = 'hello'\n")]
        ) as index:
            for name, value in index.items():
                monkeypatch.setenv(name, value)
            first = deploy(
                models[0],
                TARGET,
                service=True,
                with_=mine,
                requirements=needs,
                run="my_app.py",
                options=["--token", "s3cret", "$HOME"],
            )
        assert [(code.name, code.state) for code in first.code] == [("my_app", "copied")]
        assert "Type=exec" in unit.read_text().splitlines()
        assert started() == "hello model-8.tflite --token s3cret $HOME\n"
        there_now = status(TARGET)
        assert (there_now.program, there_now.model) == ("my_app.py (3 arguments)", None)
        code = home / "apps/my_app/current/code/my_app.py"
        code.write_text(f"{PROGRAM}print('changed there')\n")
        second = deploy(models[1], TARGET)  # the service's program restarts
        assert (second.service, second.code[0].state, second.code[0].changed) == (
            "restarted",
            "kept",
            ("my_app.py",),
        )
        third = deploy(models[2], TARGET, service=True)
        assert third.code == second.code
        assert started() == "hello model-24.tflite --token s3cret $HOME\nchanged there\n"
        back = rollback(TARGET)
        assert (back.release, back.code) == (second.release, second.code)
        assert started() == "hello model-16.tflite --token s3cret $HOME\nchanged there\n"
        with pytest.raises(EdgenetError, match=r"runs my_app\.py; add --run my_app\.py, or --run camera\.py"):
            configure(TARGET, options=["--threshold", "0.5"])
        with pytest.raises(
            EdgenetError, match=r"options are given, and the service on ssh:there runs my_app\.py"
        ):
            deploy(models[2], TARGET, service=True, source="csi")
        assert configure(TARGET, run="my_app.py", options=["on"]).program == "my_app.py (1 argument)"
        assert started() == "hello model-16.tflite on\nchanged there\n"
        mine.write_text(PROGRAM.replace("print(", "print('newer', "))
        newer = deploy(models[1], TARGET, with_=mine)
        (note,) = [note for note in newer.notes if "changed on the device" in note]
        aside = Path(note.rpartition(": ")[2])
        assert (aside / "code/my_app.py").read_text() == f"{PROGRAM}print('changed there')\n"
        assert newer.service == "restarted"
        with pytest.raises(
            EdgenetError, match=r"nothing\.py is not on ssh:there, whose code of your own is: my_app"
        ):
            configure(TARGET, run="nothing.py")
        assert configure(TARGET, run="camera.py").program is None
        assert "current/camera.sh" in unit.read_text()
        assert code.exists()


def test_capture_keep_collect_train_and_deploy(there: Path, colours: Path, tmp_path: Path) -> None:
    data, state = tmp_path / "data", tmp_path / "state.json"
    kept = there / ".local/state/edgenet/field"
    # An earlier test's service acts on a label that the new network does not have.
    (there / ".local/share/edgenet/service/settings.json").unlink(missing_ok=True)
    first = deploy(colours, TARGET)
    for label, hue in (("leaf", 60), ("sky", 110)):
        clip = film(tmp_path / f"{label}.avi", [(hue, seed) for seed in range(6)], 1)
        assert capture(label, data, on=TARGET, source=str(clip), every=0).kept >= 4
    # In the field the camera sees something that the network does not know, and a person says what it is.
    with open_device(TARGET) as device, playing(10, scene(110, 20)) as source:
        options = ["--threshold=1", "--keep-uncertain=5", f"--state={state}", "--serve=0"]
        with device.start(["sh", f"{first.folder}/camera.sh", source, *options]) as running:
            wait_until(lambda: len(list(kept.glob("*.jpg"))) == 1)
            correct(device, state, "sky")
            running.stop()
    result = collect(data, TARGET)
    assert (result.labelled, result.unlabelled) == ({"sky": 1}, {"nothing I know": 1})
    (path,) = (data / "unlabelled" / "nothing I know").iterdir()
    path.rename(data / "sky" / path.name)
    counts = json.loads((kept.parent / "drift.json").read_text())["series"][0]["days"][0]
    assert counts[1] == counts[2] > 0  # every second was unknown
    options = TrainingOptions(epochs=1, batch=8)
    training = train("mobilenet_v1_0.25_32", data, tmp_path / "run", options=options)
    model = tmp_path / "second.tflite"
    convert(training.out, model, calibration=data, recipe="minmax")
    second = deploy(model, TARGET)
    assert second.previous == first.release
    assert status(TARGET).bundle == "second.tflite"
    again = collect(data, TARGET, remove=True)
    assert (again.new, again.known, again.removed) == (0, 2, 2)
    assert list(kept.iterdir()) == []
