"""The options of camera.py that a service starts with: checked here, kept on the device, shown and changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgenet_device.live.command_line import camera_parser, parse_camera

from edgenet.devices.app_folders import place_app
from edgenet.devices.apps import Program, read_app
from edgenet.devices.local import LocalDevice
from edgenet.devices.service import install_service, switch_service
from edgenet.devices.service_options import ServiceOptions, check_labels, kept_options, read_options
from edgenet.devices.service_settings import parse_settings, read_settings
from edgenet.devices.unit import UNIT, Account, Service, unit_text
from edgenet.errors import EdgenetError
from edgenet.progress import silent
from edgenet.workflows.configure import configure
from edgenet.workflows.deploy import deploy
from edgenet.workflows.status import status

PI = Account("pi", "/home/pi", "/home/pi/.local/share/edgenet", 252)


def unit_of(folder: Path) -> str:
    return (folder / "xdg_config_home" / "systemd" / "user" / UNIT).read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--treshold", "1"], "unrecognized arguments: --treshold"),
        (["--threshold", "7"], "argument --threshold: 7 is not between 0 and 1"),
        (["--rotate", "45"], "argument --rotate: invalid choice"),
        (["--region", "0,0,2,1"], "the camera's region cannot be"),
        (["--exec", "relay"], "give --on-label LABEL before --exec CMD"),
        (["--on-label", "a", "--exec", "'"], "--exec ': No closing quotation"),
        (["--log", "events.txt"], r"events\.txt does not end in \.csv or \.jsonl"),
        (["--webhook", "ftp://x"], "ftp://x is not a URL to post to"),
        (["--webhook-secret", "missing"], "--webhook-secret: cannot read missing"),
        (["--mqtt-ca", "missing"], "--mqtt-ca: cannot use missing"),
        (["--mqtt-login", "missing"], "--mqtt-login: cannot read missing"),
        (["--labels", "missing"], "cannot read the labels missing"),
        (["--serve", "x:y:z"], "x:y:z"),
        (["--window"], "--window is not for a service"),
        (["--state", "x"], "--state is not for a service"),
        (["--frames", "3"], "--frames is not for a service"),
        (["film.mp4"], "'film.mp4' is no option"),
        (["--queue", "a\nb"], "control character"),
    ],
)
def test_wrong_options_are_refused_before_a_device_is_asked(
    words: list[str], message: str, colours: Path
) -> None:
    with pytest.raises(EdgenetError, match=message):
        deploy(colours, "ssh:nobody.invalid", service=True, options=words)
    with pytest.raises(EdgenetError, match=message):
        configure("ssh:nobody.invalid", options=words)


def test_options_need_a_service_and_nothing_is_given_twice(colours: Path) -> None:
    with pytest.raises(EdgenetError, match="options are given, and no service to start with them"):
        deploy(colours, "ssh:nobody.invalid", options=["--smooth", "1"])
    with pytest.raises(EdgenetError, match="--source is given twice"):
        deploy(colours, "ssh:nobody.invalid", service=True, source="csi", options=["--source", "1"])
    with pytest.raises(EdgenetError, match="--serve is given twice"):
        deploy(colours, "ssh:nobody.invalid", service=True, serve="1", options=["--serve", "2"])


def test_a_label_that_the_bundle_lacks_is_refused_before_a_device_is_asked(colours: Path) -> None:
    with pytest.raises(EdgenetError, match="the model has no label 'gren'; the nearest: 'green'"):
        deploy(
            colours,
            "ssh:nobody.invalid",
            service=True,
            options=["--on-label", "gren", "--exec", "/usr/bin/relay"],
        )
    check_labels(read_options(["--gpio", "17=red:2"]), colours)
    with pytest.raises(EdgenetError, match="the model has no label 'rot'"):
        check_labels(read_options(["--gpio", "17=rot"]), colours)


def test_the_order_of_labels_and_commands_stays() -> None:
    words = ["--on-label=a", "--on-label=b", "--exec=/bin/x 'y z'", "--on-label=c", "--exec=/bin/w"]
    found = read_options([*words, "--thres", "0.6", "--rotate=180"])
    assert found.words() == ("--threshold=0.6", "--rotate=180", *words)
    assert kept_options(found.words()) == found
    assert found.commands() == ("/bin/x", "/bin/w")


def test_camera_toml(tmp_path: Path) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(
        'source = "csi"\nserve = true\nthreshold = 0.6\nrotate = 180\nregion = [0.1, 0, 0.8, 1]\n'
        'log = ["a.csv", "b.jsonl"]\nwebhook_secret = "s"\n[[actions]]\nexec = "/bin/x"\non-label = ["a", "b"]\n'
        '[[actions]]\non-label = "c"\nexec = "/bin/y"\n'
    )
    given = parse_camera(camera_parser(), ["MODEL", "--config", str(path), "--threshold", "0.7"])
    assert (given.source, given.serve, given.threshold, given.rotate) == ("csi", "8080", 0.7, 180)
    assert given.region == (0.1, 0, 0.8, 1)
    assert given.webhook_secret == Path("s")
    assert given.in_order == [
        ("log", Path("a.csv")),
        ("log", Path("b.jsonl")),
        *(("on_label", "a"), ("on_label", "b"), ("exec", "/bin/x"), ("on_label", "c"), ("exec", "/bin/y")),
    ]
    assert parse_camera(camera_parser(), ["MODEL", "1", "--config", str(path)]).source == "1"
    path.write_text("serve = true")
    given = parse_camera(camera_parser(), ["MODEL", "csi", "--config", str(path)])
    assert (given.model, given.source, given.serve) == (Path("MODEL"), "csi", "8080")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("treshold = 0.6", "there is no option 'treshold'; the nearest is 'threshold'"),
        ("zzzzzzzz = 1", "there is no option 'zzzzzzzz'; camera.py --help lists"),
        ("[threshold]\nx = 1", "threshold takes a text or a number"),
        ("threshold = true", "threshold takes a value, not true"),
        ("json = 1", "json takes true or false"),
        ("smooth = 2026-01-01", "smooth takes a text or a number"),
        ("actions = 1", "there is no option 'actions'"),
        ("[[actions]]\nlabel = 1", "there is no option 'label'; the nearest is 'labels'"),
        ("help = true", "there is no option 'help'"),
        ("config = 'x'", "there is no option 'config'"),
        ("threshold = ", "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("\x00", "is not TOML"),
    ],
)
def test_what_a_camera_toml_says_wrongly(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(text)
    with pytest.raises(EdgenetError, match=message) as raised:
        parse_camera(camera_parser(), ["MODEL", "--config", str(path)])
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(EdgenetError, match=message):
        read_options([], path)


def test_without_a_reader_of_toml_the_message_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "camera.toml").write_text("threshold = 0.6")
    monkeypatch.setitem(__import__("sys").modules, "tomllib", None)
    with pytest.raises(EdgenetError, match=r"this Python cannot read TOML, which needs 3\.11"):
        read_options([], tmp_path / "camera.toml")


def test_a_service_starts_with_its_options_and_files_that_are_private(notes: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "url").write_text("https://host/hook?key=s3cret\n")
    words = ["--threshold", "0.6", "--webhook", f"@{tmp_path / 'url'}", "--log", "seen.csv"]
    options = read_options([*words, "--webhook-secret", str(tmp_path / "secret")])
    device = LocalDevice()
    install_service(device, Service("csi", "8080", options=options))
    folder = Path(device.home) / "service"
    assert f'"--config" "{folder}/settings.json"' in unit_of(tmp_path)
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["source"], settings["serve"], settings["system"]) == ("csi", "8080", False)
    (secret,) = folder.glob("webhook-secret-*")
    (url,) = (path for path in folder.glob("webhook-*") if path != secret)
    assert (secret.read_text(), url.read_text()) == ("s3cret\n", "https://host/hook?key=s3cret")
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    # What camera.py reads of it is what was given.
    given = parse_camera(camera_parser(), ["MODEL", "csi", "--config", str(folder / "settings.json")])
    assert (given.threshold, given.webhook_secret) == (0.6, secret)
    assert given.in_order == [("webhook", f"@{url}"), ("log", Path("seen.csv"))]
    kept = read_settings(device)
    assert kept is not None
    install_service(device, kept)  # as the next deploy does: its files are there already
    assert sorted(path.name for path in folder.iterdir()) == sorted(["settings.json", secret.name, url.name])
    install_service(device, Service("csi"))
    assert [path.name for path in folder.iterdir()] == ["settings.json"]
    assert "--config" not in unit_of(tmp_path)


def test_configure_stops_and_starts_a_service(notes: Path) -> None:
    install_service(LocalDevice(), Service("csi"))
    notes.unlink()
    stopped = configure("local", running=False)
    assert (stopped.source, stopped.switched, stopped.changed) == ("csi", False, False)
    assert configure("local", running=True).switched is True
    calls = [line for line in notes.read_text().splitlines() if "able" in line or "start" in line]
    assert calls == [
        f"--user disable --now --quiet {UNIT}",
        f"--user enable --quiet {UNIT}",
        f"--user start {UNIT}",
    ]
    with pytest.raises(EdgenetError, match="--start and --stop cannot be given with options"):
        configure("local", options=["--smooth", "1"], running=True)


def test_a_system_service_is_not_switched_without_sudo(notes: Path) -> None:
    service = Service("csi", system=True)
    with pytest.raises(
        EdgenetError, match=f"sudo asks for a password .* sudo systemctl disable --now {UNIT}"
    ):
        switch_service(LocalDevice(), service, running=False)


def test_configure_shows_and_changes_what_a_service_has(notes: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="no service that can be configured runs on local"):
        configure("local")
    install_service(LocalDevice(), Service("rtsp://me:s3cret@camera/live", "8080"))
    shown = configure("local")
    assert (shown.source, shown.serve, shown.options, shown.changed) == (
        "rtsp://camera/live",
        "8080",
        (),
        False,
    )
    changed = configure("local", options=["--smooth", "1", "--webhook", "https://host/x?key=s3cret"])
    assert changed.options == ("--smooth=1", "--webhook=https://host/x")
    assert changed.changed
    assert f"--user restart {UNIT}" in notes.read_text().splitlines()
    assert status("local").options == changed.options
    assert "s3cret" not in unit_of(tmp_path) + notes.read_text() + str(changed)
    # The source, whose password is in a file of its own, is still the same.
    assert (Path(LocalDevice().home) / "camera-source").read_text() == "rtsp://me:s3cret@camera/live"
    again = configure("local", options=["--threshold", "0.5", "--source", "csi"])
    assert (again.source, again.serve, again.options) == ("csi", "8080", ("--threshold=0.5",))
    (tmp_path / "camera.toml").touch()
    assert configure("local", config=tmp_path / "camera.toml").options == ()
    assert "--config" not in unit_of(tmp_path)


def test_the_arguments_of_a_command_are_not_shown(notes: Path) -> None:
    words = ["--on-label", "a", "--exec", "curl -H 'Authorization: s3cret' https://host", "--on-label", "b"]
    install_service(LocalDevice(), Service(options=read_options([*words, "--exec", "/bin/relay"])))
    shown = ("--on-label=a", "--exec=curl (3 arguments)", "--on-label=b", "--exec=/bin/relay")
    assert configure("local").options == status("local").options == shown


def test_a_program_of_ones_own_runs_instead_until_camera_py_does_again(notes: Path, tmp_path: Path) -> None:
    device = LocalDevice()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "main.py").write_text("print(1)\n")
    place_app(device, read_app(tmp_path / "shop"), [], silent)
    install_service(device, Service("csi", "8080", options=read_options(["--threshold", "0.6"])))
    runs = configure("local", run="shop/main.py", options=["--token", "s3cret", "on"])
    assert (runs.program, runs.changed) == ("shop/main.py (3 arguments)", True)
    lines = unit_of(tmp_path).splitlines()
    start = f'"{device.home}/apps/shop/current/run.sh" "main.py" "--token" "s3cret" "on"'
    assert f"ExecStart=/bin/sh {start}" in lines
    assert "Type=exec" in lines
    assert not [line for line in lines if line.startswith("WatchdogSec")]
    seen = status("local")
    assert (seen.program, seen.options, seen.model) == ("shop/main.py (3 arguments)", (), None)
    assert [code.name for code in seen.code] == ["shop"]
    with pytest.raises(
        EdgenetError, match=r"runs shop/main\.py; add --run shop/main\.py, or --run camera\.py"
    ):
        configure("local", options=["--threshold", "0.5"])
    with pytest.raises(EdgenetError, match="--config is for camera"):
        configure("local", run="shop/main.py", config=tmp_path / "camera.toml")
    back = configure("local", run="camera.py")
    assert (back.program, back.source, back.serve, back.options) == (
        None,
        "csi",
        "8080",
        ("--threshold=0.6",),
    )
    assert "Type=notify" in unit_of(tmp_path).splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema": "other"}',
        '{"schema": "edgenet.service.v1", "source": 1, "serve": null, "system": false, "arguments": []}',
        '{"schema": "edgenet.service.v1", "source": "0", "serve": null, "system": false, "arguments": ["--new"]}',
    ],
)
def test_damaged_settings_are_told_in_one_line(text: str) -> None:
    with pytest.raises(EdgenetError, match="holds no settings that this edgenet knows") as raised:
        parse_settings(text, "settings.json on ssh:pi")
    assert len(str(raised.value).splitlines()) == 1


def unit_lines(*words: str, system: bool = False) -> list[str]:
    return unit_text(Service(system=system, options=read_options(words)), PI).splitlines()


def test_the_unit_allows_what_the_options_write_and_start() -> None:
    lines = unit_lines(
        *("--log", "/home/pi/logs/a.csv", "--snapshots", "/mnt/disk/pictures", "--clips", "clips"),
        *("--on-label", "a", "--exec", "/home/pi/relay.sh on"),
    )
    assert 'BindPaths="-/mnt/disk/pictures" "-/home/pi/logs"' in lines
    assert any(line.startswith("BindReadOnly") and line.endswith('"-/home/pi/relay.sh"') for line in lines)
    assert "WorkingDirectory=-%S/edgenet" in lines  # where clips and other relative paths lie


def test_the_folder_of_kept_photos_is_open_to_the_service() -> None:
    options = read_options(["--keep-uncertain", "200", "--keep-in", "/mnt/disk/field"])
    assert options.words() == ("--keep-uncertain=200", "--keep-in=/mnt/disk/field")
    assert 'BindPaths="-/mnt/disk/field"' in unit_text(Service(options=options), PI).splitlines()
    with pytest.raises(EdgenetError, match=r"--keep-uncertain: 0 is not between 0\.1"):
        read_options(["--keep-uncertain", "0"])


@pytest.mark.parametrize(
    "path",
    ["/home/pi/a.csv", "/home/a.csv", "/a.csv", "/home/pi/.local/share/edgenet/a.csv", "/x/../home/pi/a.csv"],
)
def test_no_option_makes_the_home_folder_writable(path: str) -> None:
    with pytest.raises(EdgenetError, match="the service may not write all of"):
        unit_lines("--log", path)


def test_a_program_of_ones_own_may_use_pins_and_not_what_the_camera_s_options_name() -> None:
    options = read_options(["--log", "/srv/logs/a.csv", "--on-label", "a", "--exec", "/home/pi/relay.sh"])
    service = Service(
        system=True, options=options, program=Program("shop", "main.py"), arguments=("$x", "a b")
    )
    lines = unit_text(service, PI).splitlines()
    assert "DeviceAllow=char-gpiochip rw" in lines
    assert not [line for line in lines if "/srv/logs" in line or "relay.sh" in line]
    assert lines[lines.index("Type=exec") + 1] == "User=pi"
    assert any(line.endswith('apps/shop/current/run.sh" "main.py" "$$x" "a b"') for line in lines)
    for line in ("CapabilityBoundingSet=", "ProtectSystem=strict", "Restart=always", "DevicePolicy=closed"):
        assert line in lines
    with pytest.raises(EdgenetError, match="control character"):
        Service(program=Program("shop", "main.py"), arguments=("a\nb",))


def test_only_with_pins_may_the_system_service_use_them() -> None:
    assert "DeviceAllow=char-gpiochip rw" in unit_lines("--gpio", "17=a", system=True)
    assert "DeviceAllow=char-gpiochip rw" not in unit_lines(system=True)
    assert "DeviceAllow=char-gpiochip rw" not in unit_lines("--gpio", "17=a")


def test_a_relative_film_lies_in_the_home_folder() -> None:
    text = unit_text(Service("film.mp4", options=ServiceOptions()), PI)
    assert 'camera.sh" "/home/pi/film.mp4"' in text
