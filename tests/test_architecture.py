"""The rooms of the code: who may import whom is read from docs/architecture.md and held against the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
LONGEST_FILE = 450
LONGEST_FUNCTION = 62
DEVICE_PACKAGES = {"numpy", "cv2", "picamera2"}
"""What the device's package may import beside the standard library; a LiteRT runtime is imported by name."""


def modules() -> dict[str, Path]:
    """Return every module of the two packages by its dotted name, and the scripts by theirs."""
    found = {}
    for base, top in ((ROOT, "edgenet"), (ROOT / "device_scripts", "edgenet_device")):
        for path in sorted((base / top).rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    for path in sorted((ROOT / "device_scripts").glob("*.py")):
        found[f"device_scripts.{path.stem}"] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Yield the modules of the project that a module imports anywhere in it, also within functions."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                target = inner if inner in MODULES else node.module or ""
                if target in MODULES:
                    yield target


@cache
def all_imports() -> dict[str, set[str]]:
    """Return what every module of the project imports from the project, itself left out."""
    return {name: set(imports(name)) - {name} for name in MODULES}


def room(name: str) -> str:
    """Return the room of a module: its package, or the module itself where it lies at the top of `edgenet`."""
    first, _, rest = name.partition(".")
    if first in ("edgenet_device", "device_scripts"):
        return "edgenet_device"
    return rest.partition(".")[0] or "edgenet"


def stated_order() -> list[str]:
    """Return the rooms in the order in which docs/architecture.md lists them, lowest first."""
    table = PAGE.read_text(encoding="utf-8").partition("## The rooms")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", table, re.MULTILINE)


def test_the_page_names_every_room_once() -> None:
    order = stated_order()
    assert len(order) == len(set(order))
    # `edgenet` itself only hands out what the rooms hold, and `__main__` only starts the command line.
    assert set(order) == {room(name) for name in MODULES} - {"edgenet", "__main__"}


def test_the_page_names_only_files_that_exist() -> None:
    named = re.findall(r"`([\w/]+(?:\.py|/))`", PAGE.read_text(encoding="utf-8"))
    assert named
    for path in named:
        assert any((base / path).exists() for base in (ROOT, ROOT / "edgenet", ROOT / "device_scripts")), path


def test_no_room_imports_one_that_stands_above_it() -> None:
    order = stated_order()
    back = [
        f"{name} imports {target}"
        for name, targets in all_imports().items()
        for target in targets
        if {room(name), room(target)} <= set(order) and order.index(room(target)) > order.index(room(name))
    ]
    assert back == []


def test_only_the_package_itself_is_imported_from_the_top() -> None:
    """A room that imports `edgenet` would import whatever that hands out, in a circle."""
    allowed = {"edgenet.__main__"}
    assert [
        name for name, targets in all_imports().items() if "edgenet" in targets and name not in allowed
    ] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not through an import within a function, which would only hide the circle."""
    state: dict[str, int] = {}

    def visit(name: str, path: list[str]) -> None:
        if state.get(name) == 2 or name in ("edgenet", "edgenet_device"):
            return
        assert state.get(name) != 1, " -> ".join([*path[path.index(name) :], name])
        state[name] = 1
        for target in sorted(all_imports()[name]):
            visit(target, [*path, name])
        state[name] = 2

    for name in MODULES:
        visit(name, [])


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "edgenet_device"])
def test_the_device_needs_few_packages(name: str) -> None:
    import sys

    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            tops = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            tops = {(node.module or "").partition(".")[0]}
        else:
            continue
        assert tops <= DEVICE_PACKAGES | {"edgenet_device"} | sys.stdlib_module_names


@pytest.mark.parametrize("name", MODULES)
def test_files_and_functions_are_short(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno + 1 <= LONGEST_FUNCTION, node.name


def test_every_file_says_what_it_is_about() -> None:
    for name, path in MODULES.items():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert text, f"{name} has no docstring"
        assert text.partition("\n")[0].endswith((".", ":")), f"{name}: {text.partition(chr(10))[0]}"
