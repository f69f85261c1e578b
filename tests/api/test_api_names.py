"""What `import edgenet` offers: its names, their signatures and their documentation."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import Any, get_args, get_type_hints

import pytest

import edgenet
from edgenet.commands.app import COMMANDS

FUNCTIONS = [name for name in edgenet.__all__ if inspect.isfunction(getattr(edgenet, name))]
OPERANDS = {
    "apply_review": 2, "bench": 1, "camera": 1, "capture": 2, "collect": 2, "compare": 2, "configure": 1,
    "configure_fleet": 1, "convert": 2, "demo": 1, "deploy": 2, "deploy_fleet": 2, "publish": 2, "rollback_fleet": 1,
    "status_fleet": 1,
    "evaluate": 2, "export_scripts": 1, "fetch": 1, "inspect": 1, "load": 1, "new_key": 1, "open_photos": 1,
    "package": 2,
    "report": 2, "resume_training": 1, "rollback": 1, "select": 2, "status": 1, "studio": 1, "sweep": 2, "teach": 2,
    "train": 3,
}  # fmt: skip


def test_every_name_is_there_and_listed() -> None:
    assert set(edgenet.__all__) <= set(dir(edgenet))
    assert len(set(edgenet.__all__)) == len(edgenet.__all__)
    assert set(edgenet._HOMES) == set(edgenet.__all__)
    for name in edgenet.__all__:
        assert getattr(edgenet, name) is not None
    with pytest.raises(AttributeError, match="module 'edgenet' has no attribute 'transmogrify'"):
        _ = edgenet.transmogrify


def test_the_version_is_that_of_the_package() -> None:
    assert edgenet.__version__ == version("edgenet")
    assert "__version__" in dir(edgenet)


def test_every_command_is_a_function() -> None:
    assert {name.replace("-", "_") for name in COMMANDS} <= set(FUNCTIONS)


def test_listing_the_names_imports_nothing_heavy() -> None:
    code = "import sys, edgenet; dir(edgenet); edgenet.__version__; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_documented_and_only_operands_are_positional(name: str) -> None:
    function = getattr(edgenet, name)
    parameters = inspect.signature(function).parameters
    assert all(p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters.values())
    positional = [p for p in parameters.values() if p.kind is not p.KEYWORD_ONLY]
    assert len(positional) == OPERANDS.get(name, 0)
    documented = re.findall(r"^ {4}((?:\w+, )*\w+):", inspect.getdoc(function) or "", re.M)
    assert set(parameters) <= {one for line in documented for one in line.split(", ")}


@pytest.mark.parametrize("name", [name for name in edgenet.__all__ if is_dataclass(getattr(edgenet, name))])
def test_every_result_is_frozen_and_documented(name: str) -> None:
    kind = getattr(edgenet, name)
    assert kind.__dataclass_params__.frozen
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{name}(")  # dataclass's own text


@pytest.mark.parametrize("name", edgenet.__all__)
def test_every_type_that_a_signature_or_result_names_is_exported(name: str) -> None:
    named = getattr(edgenet, name)
    names = {other: getattr(edgenet, other) for other in edgenet.__all__}
    exported = set(names.values())
    hints: dict[str, Any] = {}
    if name in FUNCTIONS:
        hints = get_type_hints(named, localns=names)
    elif is_dataclass(named):
        visible = {field.name for field in fields(named) if not field.name.startswith("_")}
        # Some types are named but not imported, because they would bring torch along.
        hints = {key: hint for key, hint in get_type_hints(named, localns=names).items() if key in visible}
    for kind in {kind for hint in hints.values() for kind in _classes(hint)}:
        assert not kind.__module__.startswith("edgenet") or kind in exported, kind


def _classes(hint: Any) -> set[type]:
    found = {hint} if isinstance(hint, type) and not get_args(hint) else set()
    return found.union(*(_classes(part) for part in get_args(hint) if not isinstance(part, str)))
