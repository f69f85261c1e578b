"""The API reference: it is up to date and complete, and its examples run."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path
from typing import Any

import edgenet_device
import pytest
from brief_timing import time_briefly
from example_folder import example_names

import edgenet
from tools.make_api_reference import COMMAND, PAGE, reference


def documented(package: Any) -> dict[str, str]:
    """Return the docstrings of the public names of a package and of their methods, by name."""
    found: dict[str, str] = {}
    for name in package.__all__:
        named = getattr(package, name)
        found[f"{package.__name__}.{name}"] = inspect.getdoc(named) or ""
        for method, member in vars(named).items() if inspect.isclass(named) else ():
            # A field's default value is a member, too, and has only the docstring of its type.
            own = getattr(member, "__doc__", None) != type(member).__doc__
            if own and (method == "__call__" or not method.startswith("_")):
                found[f"{package.__name__}.{name}.{method}"] = inspect.getdoc(member) or ""
    return found


EXAMPLES = {
    name: example
    for name, docstring in (documented(edgenet) | documented(edgenet_device)).items()
    if (example := doctest.DocTestParser().get_doctest(docstring, {}, name, None, None)).examples
}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), f"run {COMMAND}"


@pytest.mark.parametrize("package", [edgenet, edgenet_device], ids=lambda package: package.__name__)
def test_every_public_name_is_in_the_page(package: Any) -> None:
    headings = re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.M)
    prefix = f"{package.__name__}."
    assert sorted(name for name in headings if name.startswith(prefix)) == sorted(
        prefix + n for n in package.__all__
    )


def test_the_page_shows_every_example_and_no_other() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^```pycon\n(.*?)^```$", page, re.M | re.S)
    sources = {
        e.source.replace("  # doctest: +SKIP", "") for example in EXAMPLES.values() for e in example.examples
    }
    parsed = [e for block in shown for e in doctest.DocTestParser().get_examples(block)]
    assert {example.source for example in parsed} == sources


def test_every_function_that_needs_no_device_has_an_example_that_runs() -> None:
    functions = {name for name in edgenet.__all__ if inspect.isfunction(getattr(edgenet, name))}
    ran = {
        name.split(".")[1]
        for name, example in EXAMPLES.items()
        if not any(doctest.SKIP in one.options for one in example.examples)
    }
    fleets = {"configure_fleet", "deploy_fleet", "rollback_fleet", "status_fleet"}
    assert functions - ran == fleets | {
        "collect",
        "configure",
        "demo",
        "deploy",
        "rollback",
        "status",
        "studio",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    time_briefly(monkeypatch)
    example = EXAMPLES[name]
    example.globs = example_names(here)
    lines: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=lines.append)
    assert not result.failed, "".join(lines)
