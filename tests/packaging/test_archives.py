"""What the wheel and the sdist hold: everything that runs, with its licences, and nothing else."""

from __future__ import annotations

import re
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging_parts import NAME, Built

INFO = f"{NAME}.dist-info"
LICENCES = {
    "LICENSE",
    "NOTICE",
    "calibration_data/LICENSES.md",
    "edgenet/assets/clip.LICENSE.txt",
    "edgenet/web/assets/LICENSES.txt",
}


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def in_the_sdist(checkout: Path) -> set[str]:
    """The files of the repository that the packages are made of."""
    tops = ("edgenet", "device_scripts", "calibration_data")
    return {f"{top}/{name}" for top in tops for name in files_below(checkout / top) if "egg-info" not in name}


def in_the_wheel(name: str) -> str:
    """Where a file of the repository is in the wheel."""
    if name.startswith("device_scripts/edgenet_device/"):
        return name.removeprefix("device_scripts/")
    return name if name.startswith("edgenet/") else f"edgenet/{name}"


@pytest.fixture
def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as archive:
        return Parser().parsestr(archive.read(f"{INFO}/METADATA").decode())


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(built: Built, checkout: Path) -> None:
    facts = {
        f"{INFO}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")
    }
    licences = {f"{INFO}/licenses/{name}" for name in LICENCES}
    assert names_in(built.wheel) == {in_the_wheel(name) for name in in_the_sdist(checkout)} | facts | licences


def test_the_wheel_installs_two_names(built: Built) -> None:
    assert {name.partition("/")[0] for name in names_in(built.wheel)} == {"edgenet", "edgenet_device", INFO}
    with zipfile.ZipFile(built.wheel) as archive:
        assert archive.read(f"{INFO}/top_level.txt").decode().split() == ["edgenet", "edgenet_device"]
        assert "edgenet = edgenet.__main__:main" in archive.read(f"{INFO}/entry_points.txt").decode()


@pytest.mark.parametrize(
    "name",
    [
        "edgenet/py.typed",
        "edgenet/assets/clip.mp4",
        "edgenet/assets/digits.png",
        "edgenet/calibration_data/0022_tabby-cat.jpg",
        "edgenet/calibration_data/manifest.json",
        "edgenet/assets/sbom.cdx.json",
        "edgenet/device_scripts/classify.py",
        "edgenet/devices/packages.sha256.txt",
        "edgenet/devices/phone_pack.sha256",
        "edgenet/figures/assets/teaching.css",
        "edgenet/figures/assets/teaching.js",
        "edgenet/web/assets/litert-js.tar.xz",
        "edgenet/web/assets/index.html",
        "edgenet/zoo/imagenet_labels.txt",
        "edgenet_device/live/page.html",
        "edgenet_device/py.typed",
    ],
)
def test_the_wheel_has_what_is_read_when_running(built: Built, name: str) -> None:
    assert name in names_in(built.wheel)


def test_the_wheel_has_all_photos(built: Built) -> None:
    assert len([name for name in names_in(built.wheel) if name.endswith(".jpg")]) == 111


def test_the_sdist_holds_what_building_needs_and_nothing_else(built: Built, checkout: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        found = {member.name.removeprefix(f"{NAME}/") for member in archive.getmembers() if member.isfile()}
    around = {
        "LICENSE",
        "NOTICE",
        "README.md",
        "MANIFEST.in",
        "pyproject.toml",
        "docs/package-description.md",
    }
    made = {name for name in found if name.startswith("edgenet.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert found == in_the_sdist(checkout) | around | made


def test_the_sdist_builds_the_same_wheel(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as one, zipfile.ZipFile(built.wheel_from_sdist) as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }


def test_the_licences_are_stated(metadata: Message) -> None:
    assert metadata["License-Expression"].startswith("Apache-2.0 AND ")
    assert set(metadata.get_all("License-File") or ()) == LICENCES


def test_the_licence_names_those_of_every_photo(metadata: Message, checkout: Path) -> None:
    stated = {word.lower() for word in metadata["License-Expression"].split(" AND ")}
    photos = (checkout / "calibration_data" / "manifest.json").read_text()
    found = set(re.findall(r'"licence": "([^"]+)"', photos))
    assert len(found) > 5
    for licence in found:
        assert {word.lower() for word in licence.split(" AND ")} <= stated


def test_the_description_has_no_link_or_picture_that_only_works_in_the_repository(metadata: Message) -> None:
    text = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert isinstance(text, str)
    assert text.startswith("# edgenet")
    assert len(text) > 1000
    links = re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    assert [link for pair in links for link in pair if link and not link.startswith("https://")] == []


def test_the_versions_of_python_are_those_that_set_up_takes(metadata: Message, checkout: Path) -> None:
    first, last = re.findall(r"\((3), (\d+)\)", (checkout / "tools" / "setup-environment").read_text())
    versions = {f"3.{minor}" for minor in range(int(first[1]), int(last[1]) + 1)}
    python = "Programming Language :: Python :: "
    stated = {line.removeprefix(python) for line in metadata.get_all("Classifier") or () if python in line}
    assert stated - {"3", "3 :: Only"} == versions
    assert metadata["Requires-Python"] == f">=3.{first[1]}"


def test_keywords_and_types_are_stated(metadata: Message) -> None:
    assert "quantization" in metadata["Keywords"].split(",")
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or ())
