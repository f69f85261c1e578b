"""Code of the user's own: checked here, brought to a place of its own, and never deleted there."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from interrupted import Interrupted
from old_release import BUNDLE, write_old_release
from wheel_index import make_wheel, package_index

from edgenet.devices.app_folders import check_program, code_on, place_app, start_command
from edgenet.devices.app_packages import AppRequirements, app_wheels, read_requirements
from edgenet.devices.apps import MOST_FILES, Program, read_app, read_program
from edgenet.devices.local import LocalDevice
from edgenet.devices.wheels import Python, Requirements
from edgenet.errors import EdgenetError
from edgenet.progress import silent
from edgenet.workflows.deploy import deploy


def write(path: Path, text: str = "print('hello')\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_folder_is_read_without_what_stays_here(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    for name in ("main.py", "lib/__init__.py", "lib/random.py", "page.html", "requirements.txt"):
        write(folder / name, "")
    for name in (
        ".git/config",
        ".env",
        "venv/pyvenv.cfg",
        "venv/lib/x.py",
        "node_modules/a.js",
        "__pycache__/a.pyc",
    ):
        write(folder / name)
    (folder / "alias.html").symlink_to("page.html")
    app = read_app(folder)
    assert app.name == "shop"
    assert list(app.files) == [
        "alias.html",
        "lib/__init__.py",
        "lib/random.py",
        "main.py",
        "page.html",
        "requirements.txt",
    ]
    assert app.left_out == (".env", ".git/", "node_modules/", "venv/")
    assert read_app(write(tmp_path / "my_app.py")).files == {"my_app.py": tmp_path / "my_app.py"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "there is no file or folder"),
        ({"app/page.html": ""}, r"there is no \.py file in"),
        ({"app/a.py": "print('"}, r"a\.py, line 1: .*; correct the program; nothing was copied"),
        ({"app/a.py": "\0"}, r"a\.py"),
        ({"app/a.py": "x = " + "(" * 5000}, r"a\.py"),
        ({"app/queue.py": ""}, r"queue\.py of .* has the name of a module that Python or edgenet needs"),
        ({"app/edgenet_device/__init__.py": ""}, "has the name of a module"),
        ({"app/a.py": "", "app/a\nb": ""}, "has a character that a list of files cannot hold"),
        ({"app/a.py": "", "app/link": "-> /etc/passwd"}, "is a link to a place outside of"),
        ({"app/a.py": "", "app/link": "-> nowhere"}, "is a link to nothing"),
        ({"app/a.py": "", "app/link": "-> link"}, "is a link to nothing|cannot read"),
        ({"app/a.py": "", "app/link": "-> /etc"}, "is a link to a folder"),
        ({"app": "text"}, "is no Python program"),
    ],
)
def test_what_cannot_be_brought_is_refused_here(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, text in files.items():
        if text.startswith("-> "):
            (tmp_path / name).symlink_to(text[3:])
        else:
            write(tmp_path / name, text)
    with pytest.raises(EdgenetError, match=message) as raised:
        read_app(tmp_path / "app")
    assert len(str(raised.value).splitlines()) == 1


def test_what_is_too_large_or_cannot_be_read_is_refused_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MOST_FILES + 1):
        write(tmp_path / "many" / f"{number}.txt", "")
    with pytest.raises(EdgenetError, match="has more than 2,000 files or 100 MiB"):
        read_app(tmp_path / "many")
    with (write(tmp_path / "large" / "a.bin")).open("wb") as file:
        file.truncate(101 << 20)
    with pytest.raises(EdgenetError, match="has more than 2,000 files or 100 MiB"):
        read_app(tmp_path / "large")
    os.mkfifo(tmp_path / "large" / "a-pipe")
    with pytest.raises(EdgenetError, match="is no file that can be copied"):
        read_app(tmp_path / "large")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    write(tmp_path / "locked" / "a.py")
    with pytest.raises(EdgenetError, match="permission denied"):
        read_app(tmp_path / "locked")


@pytest.mark.parametrize("name", ["camera.py", "queue.py", "-x.py", "two words.py", f"{'x' * 80}.py"])
def test_a_name_that_clashes_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="rename it"):
        read_app(write(tmp_path / name))


def test_a_program_is_named_as_on_the_device_or_as_here(tmp_path: Path) -> None:
    folder, alone = tmp_path / "shop", write(tmp_path / "my_app.py")
    write(folder / "main.py")
    write(folder / "bin/serve.py")
    shop, my_app = read_app(folder), read_app(alone)
    assert read_program("camera.py", folder, shop) is None
    for text in ("shop/main.py", str(folder / "main.py")):
        assert read_program(text, folder, shop) == Program("shop", "main.py")
    for text in ("my_app.py", str(alone)):
        assert read_program(text, alone, my_app) == Program("my_app", "my_app.py")
    assert str(read_program("shop/bin/serve.py", folder, shop)) == "shop/bin/serve.py"
    assert str(read_program("my_app.py", None, None)) == "my_app.py"  # it is on the device
    with pytest.raises(
        EdgenetError, match=r"has no program other\.py; it has shop/bin/serve\.py, shop/main\.py"
    ):
        read_program("shop/other.py", folder, shop)
    for text in ("shop", "/etc/x.py", "shop/../x.py", "a\nb.py", ""):
        with pytest.raises(EdgenetError, match="is no program to run"):
            read_program(text, None, None)
    write(folder / "bin/numpy.py")
    with pytest.raises(EdgenetError, match="would hide it"):
        read_program("shop/bin/serve.py", folder, read_app(folder))


@pytest.mark.parametrize(
    "line",
    ["-e .", "-r other.txt", "./x.whl", "x @ https://host/x.whl", "git+https://host/x", "../x", "x.whl", "!"],
)
def test_a_requirement_that_no_index_has_is_refused(line: str, tmp_path: Path) -> None:
    file = write(tmp_path / "requirements.txt", f"# packages\nflask>=3  # a server\n{line}\n")
    with pytest.raises(EdgenetError, match=r"requirements\.txt, line 3: .* is no name of a package"):
        read_requirements(file)


def test_a_requirements_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="cannot read"):
        read_requirements(tmp_path / "missing.txt")
    (tmp_path / "r.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(EdgenetError, match="is no UTF-8 text"):
        read_requirements(tmp_path / "r.txt")
    given = "flask==3.1.2 \\\n    --hash=sha256:00\n--extra-index-url https://www.piwheels.org/simple\npaho-mqtt[proxy]~=2.0\n"
    assert read_requirements(write(tmp_path / "r.txt", given)).text == given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"requirements": "r.txt"}, "--requirements is for the code of --with; give both"),
        ({"with_": "my_app.py", "run": "my_app.py"}, "no service to start with them; add --service"),
        (
            {"run": "my_app.py", "service": True, "source": "csi"},
            "are for camera.py, and the service shall run my_app",
        ),
        (
            {"run": "my_app.py", "service": True, "config": "c.toml"},
            "are for camera.py, and the service shall run",
        ),
        (
            {"with_": "my_app.py", "run": "my_app/x.py", "service": True},
            r"has no program x\.py; it has my_app\.py",
        ),
        ({"with_": "missing"}, "there is no file or folder missing"),
        ({"with_": "my_app.py", "requirements": "missing.txt"}, r"cannot read missing\.txt"),
        (
            {"with_": "my_app.py", "on": "adb"},
            "code of your own cannot run on adb: a phone has neither a service nor",
        ),
    ],
)
def test_what_is_given_wrongly_is_told_before_a_device_is_asked(
    given: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my_app.py")
    write(tmp_path / "my.edgenet")
    with pytest.raises(EdgenetError, match=message) as raised:
        deploy("my.edgenet", **{"on": "ssh:nobody.invalid", **given})
    assert len(str(raised.value).splitlines()) == 1


NEEDED = Requirements(
    ("ai-edge-litert==2.3.0",), platform.machine(), Python(sys.version_info[:2], "1.26.4", True, True, "2.36")
)


def wanted(text: str) -> AppRequirements:
    return AppRequirements(Path("requirements.txt"), text)


def test_the_packages_come_from_this_machine_and_stay_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wheels = [
        make_wheel(tmp_path, "greeting", "1.0", "TEXT = 'hello'\n", needs='older; python_version < "3.10"'),
        make_wheel(tmp_path, "older", "1.0", "", needs="numpy"),
        make_wheel(tmp_path, "numpy", "1.26.4", "raise SystemExit('the wrong numpy')\n"),
    ]
    with package_index(tmp_path / "index", wheels) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        found = app_wheels(wanted("greeting\n"), NEEDED, silent)
        assert [wheel.name for wheel in found] == ["greeting-1.0-py3-none-any.whl"]
        older = replace(NEEDED, python=replace(NEEDED.python, version=(3, 9)))
        names = [wheel.name for wheel in app_wheels(wanted("greeting\n"), older, silent)]
        assert names == [
            "greeting-1.0-py3-none-any.whl",
            "older-1.0-py3-none-any.whl",
        ]  # and not edgenet's numpy
        found[0].write_bytes(b"changed")
        (repaired,) = app_wheels(wanted("greeting\n"), NEEDED, silent)
        assert repaired.read_bytes() == wheels[0].read_bytes()
    assert app_wheels(wanted("greeting\n"), NEEDED, silent) == [repaired]  # without a network


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        (
            "ERROR: Cannot install numpy==2.2.6 because these package versions have conflicting dependencies.\n"
            "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/dependency-resolution/\n",
            r"leave the versions to edgenet that it has on the device \(ai-edge-litert==2.3.0, numpy==1\.26\.4\)",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement spidev (from versions: none)\n"
            "ERROR: No matching distribution found for spidev\n",
            r"No matching distribution found for spidev; there is no wheel of it .*sudo apt install python3-NAME",
        ),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError('<pip._vendor>: "
            "Failed to establish a new connection: [Errno 111] Connection refused')': /simple/flask/\n"
            "ERROR: No matching distribution found for flask\n",
            "this machine does not reach the package index for requirements.txt; connect it",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated\n"
            "    greeting==1.0 from http://127.0.0.1/greeting-1.0-py3-none-any.whl (from -r requirements.txt):\n",
            r"pip refused greeting==1\.0: its SHA-256 is not in requirements\.txt",
        ),
        ("ERROR: Invalid requirement: 'x y'\n", "Invalid requirement: 'x y'; correct the file"),
    ],
)
def test_why_there_are_no_packages(
    printed: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts are those that pip 24 has printed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = subprocess.CompletedProcess([], 1, "", printed)
    monkeypatch.setattr("edgenet.devices.app_packages.pip_download", lambda *options: done)
    with pytest.raises(EdgenetError, match=message) as raised:
        app_wheels(wanted("x\n"), NEEDED, silent)
    assert len(str(raised.value).splitlines()) == 1


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalDevice:
    """This machine with a home of its own and a release in use; the shell scripts are those that run on a device."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "it's $(here)"))
    device = LocalDevice()
    write_old_release(Path(device.home))
    return device


def run(device: LocalDevice, program: Program, *arguments: str) -> str:
    done = subprocess.run(
        ["sh", *start_command(device.home, program), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_gets_a_place_of_its_own_and_a_changed_copy_is_set_aside(
    device: LocalDevice, tmp_path: Path
) -> None:
    mine = write(
        tmp_path / "my_app.py", "import os, sys\nprint(os.environ['EDGENET_BUNDLE'], sys.argv[1:])\n"
    )
    code, set_aside = place_app(device, read_app(mine), [], silent)
    assert (code.state, set_aside) == ("copied", ())
    program = Program("my_app", "my_app.py")
    check_program(device, program)
    # run.sh goes by the links to where the release is.
    release = Path(device.home, "current").resolve()
    assert run(device, program, "a b", "$x") == f"{release / BUNDLE} ['a b', '$x']\n"
    assert place_app(device, read_app(mine), [], silent)[0].state == "was there already"
    there = Path(code.folder, "my_app.py")
    there.write_text("print('changed on the device')\n")
    (Path(code.folder) / "notes.txt").write_text("mine")
    (found,) = code_on(device)
    assert (found.name, sorted(found.changed), found.state) == ("my_app", ["my_app.py", "notes.txt"], "kept")
    for text in (mine.read_text(), "print('a newer one')\n"):  # the same as before, then another one
        mine.write_text(text)
        code, set_aside = place_app(device, read_app(mine), [], silent)
        assert there.read_text() == text
        assert code.state == "copied"
        for copy in set_aside:
            assert (Path(copy.folder) / "code/my_app.py").read_text() == "print('changed on the device')\n"
            assert (Path(copy.folder) / "code/notes.txt").read_text() == "mine"
            assert sorted(copy.files) == ["code/my_app.py", "code/notes.txt"]
        assert len(set_aside) == (1 if text != "print('a newer one')\n" else 0)
    with pytest.raises(EdgenetError, match=r"other\.py is not on local, whose code of your own is: my_app"):
        check_program(device, Program("other", "other.py"))


def test_the_two_copies_before_stay_and_older_ones_go_unless_they_were_changed(
    device: LocalDevice, tmp_path: Path
) -> None:
    mine, changed = tmp_path / "my_app.py", []
    for number in range(5):
        code, set_aside = place_app(device, read_app(write(mine, f"print({number})\n")), [], silent)
        changed += [copy.folder for copy in set_aside]
        if number == 0:
            (Path(code.folder) / "data.csv").write_text("1")
    (only,) = changed
    assert (Path(only) / "code/data.csv").read_text() == "1"
    copies = [
        path.name
        for path in Path(device.home, "apps/my_app").iterdir()
        if path.name not in ("current", "environments")
    ]
    assert len(copies) == 3
    assert Path(device.home, "apps").stat().st_mode & 0o777 == 0o700


def test_its_packages_lie_on_those_of_the_release_in_use(device: LocalDevice, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "greeting", "1.0", "TEXT = 'hello'\n")
    mine = write(
        tmp_path / "shop" / "main.py",
        "import greeting, below, edgenet_device\nprint(greeting.TEXT, below.TEXT)\n",
    )
    for number in (1, 2):  # the environment of each release
        release = Path(device.home, f"releases/r{number}")
        packages = (
            release / f"environment/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        )
        write(packages / "below.py", f"TEXT = {number}\n")
        write(release / "device_scripts/edgenet_device/__init__.py", "")
        write(release / "SHA256SUMS", f"{'0' * 64}  model.tflite\n")
    current = Path(device.home, "current")
    program = Program("shop", "main.py")
    for release, text in (("r1", "hello 1\n"), ("r2", "hello 2\n"), ("r1", "hello 1\n")):
        current.unlink()
        current.symlink_to(f"releases/{release}")
        if text == "hello 1\n":
            place_app(device, read_app(mine.parent), [wheel], silent)
        assert run(device, program) == text
    (found,) = code_on(device)
    assert not found.stale
    complete = Path(device.home, "apps/shop/current/environment/complete")
    complete.write_text("/usr/bin/python3.9")  # a newer system
    (found,) = code_on(device)
    assert found.stale
    write(mine, "import greeting\nprint('newer', greeting.TEXT)\n")
    code, _ = place_app(device, read_app(mine.parent), None, silent)  # without --requirements
    assert (code.packages, run(device, program)) == (True, "newer hello\n")
    (found,) = code_on(device)
    assert (found.packages, found.stale) == (True, True)
    place_app(device, read_app(mine.parent), [wheel], silent)
    (found,) = code_on(device)
    assert not found.stale
    assert app_wheels(wanted("# none\n"), NEEDED, silent) == []
    code, _ = place_app(device, read_app(mine.parent), [], silent)
    assert not code.packages


def ctrl_c() -> None:
    raise KeyboardInterrupt


def test_the_old_or_the_new_copy_is_in_place_wherever_it_stops(device: LocalDevice, tmp_path: Path) -> None:
    mine, program = tmp_path / "my_app.py", Path(device.home, "apps/my_app/current/code/my_app.py")
    place_app(device, read_app(write(mine, "print('old')\n")), [], silent)
    wheel = make_wheel(tmp_path, "greeting", "1.0", "")
    newer, steps = read_app(write(mine, "print('new')\n")), 0
    while True:
        try:
            place_app(Interrupted(device, steps, ctrl_c), newer, [wheel], silent)  # type: ignore[arg-type]
            break
        except KeyboardInterrupt:
            steps += 1
        sums = subprocess.run(
            ["sha256sum", "-c", "SHA256SUMS"], cwd=program.parents[1], capture_output=True, check=False
        )
        assert sums.returncode == 0
        assert program.read_text() == "print('old')\n"
    assert steps >= 8
    assert program.read_text() == "print('new')\n"
    assert not list(program.parents[2].glob("incoming-*"))


def test_a_program_for_a_newer_python_is_refused_before_it_takes_the_place(
    device: LocalDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_app(device, read_app(write(tmp_path / "my_app.py", "print(1)\n")), [], silent)
    older = write(
        tmp_path / "bin/python3",
        f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.exit(sys.argv[1])" "main.py: new syntax"\n',
    )
    older.chmod(0o755)
    monkeypatch.setenv("PATH", f"{older.parent}:{os.environ['PATH']}")
    with pytest.raises(EdgenetError, match=r"python3 on local does not understand main\.py: new syntax"):
        place_app(device, read_app(write(tmp_path / "my_app.py", "print(2)\n")), [], silent)
    code = Path(device.home, "apps/my_app/current/code/my_app.py")
    assert code.read_text() == "print(1)\n"
