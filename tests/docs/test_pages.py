"""What README.md and docs/ say is there: links and paths lead to files, options are options, README is short."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import typer
from doc_pages import DOCS, README, ROOT, RUN_PAGES, blocks, commands, prose

from edgenet.commands.app import app

LARGEST = 8192
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *DOCS.glob("*.md"),
        ROOT / "benchmarks" / "README.md",
        ROOT / "calibration_data" / "README.md",
    }
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:edgenet|device_scripts|benchmarks|tests|tools|docs|calibration_data)/[\w./-]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OTHERS = {
    "--nproc-per-node": "torchrun",
    "--index-url": "pip",
    "--no-deps": "pip",
    "--config": "bazel",
    "--list": "adb reverse",
    "--camera-faults": "pytest, in tests/conftest.py",
    "--power-cuts": "pytest, in tests/conftest.py",
    "--second-pi": "pytest, in tests/conftest.py",
    "--user": "systemctl",
}
"""Options of other programs that the pages name."""

DATA = {"text", "json", "toml"}
"""The languages of blocks that show files or output; those of any other language are code."""

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_readme_is_short() -> None:
    assert README.stat().st_size <= LARGEST


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@by_page
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name} links to {target}, which does not exist"
        assert not anchor or anchor in anchors(file), (
            f"{page.name} links to {target}, a heading that is not there"
        )


@by_page
def test_paths_are_those_of_files(page: Path) -> None:
    for name in PATH.findall(page.read_text(encoding="utf-8")):
        assert any(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}, which does not exist"


@by_page
def test_programs_that_repeat_figures_exist(page: Path) -> None:
    for name in re.findall(
        r"`(?:\.venv/bin/)?(?:python -m )?((?:benchmarks|tools)\.\w+)", page.read_text("utf-8")
    ):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), (
            f"{page.name} names {name}"
        )


@by_page
def test_every_block_of_code_is_run_or_says_why_not(page: Path) -> None:
    """test_pages_run.py runs `RUN_PAGES`; the examples of docs/api.md come from docstrings, which tests/api runs."""
    if page in RUN_PAGES or page == DOCS / "api.md":
        return
    for block in blocks(page):
        if block.language not in DATA:
            assert block.mark == "not run", (
                f"{page.name}:{block.line} is not run; say why in a comment above it"
            )
            assert len(block.reason.split()) >= 4, f"{page.name}:{block.line} has no reason: '{block.reason}'"


def test_the_list_of_pages_has_every_page() -> None:
    assert "docs/index.md" in LINK.findall(README.read_text(encoding="utf-8"))
    linked = set(LINK.findall((DOCS / "index.md").read_text(encoding="utf-8")))
    pages = {page.name for page in DOCS.glob("*.md")} - {"package-description.md", "index.md"}
    assert pages <= linked, f"docs/index.md does not link to {sorted(pages - linked)}"


@cache
def options_of_verbs() -> dict[str, set[str]]:
    """Return the options that `--help` shows, by verb ("" for `edgenet` itself), without those that are hidden."""
    group = typer.main.get_command(app)
    verbs = {name: verb for name, verb in group.commands.items() if not verb.hidden}  # type: ignore[attr-defined]
    shown = {
        name: [p for p in verb.params if not getattr(p, "hidden", False)]
        for name, verb in {"": group, **verbs}.items()
    }
    return {
        name: {"--help", *(o for p in params for o in (*p.opts, *p.secondary_opts))}
        for name, params in shown.items()
    }


@cache
def options_of_scripts() -> dict[str, set[str]]:
    """Return the options that `--help` of the device scripts shows, by the script's name."""
    shown = {}
    for script in (ROOT / "device_scripts").glob("*.py"):
        done = subprocess.run([sys.executable, script, "--help"], check=True, capture_output=True, text=True)
        shown[script.name] = set(OPTION.findall(done.stdout))
    update = [sys.executable, "-m", "edgenet_device", "update", "--help"]
    shown["update"] = set(
        OPTION.findall(subprocess.run(update, check=True, capture_output=True, text=True).stdout)
    )
    return shown


@cache
def options_of_tools() -> set[str]:
    """Return the options that the benchmarks and tools define."""
    benchmarks = ROOT / "benchmarks"
    programs = [*benchmarks.glob("*.py"), *benchmarks.glob("peers/*.py"), *(ROOT / "tools").iterdir()]
    texts = [program.read_text(encoding="utf-8") for program in programs if program.is_file()]
    return {option for text in texts for option in re.findall(r"""["'](--[a-z][a-z-]+)["']""", text)}


def known_options(command: str) -> set[str] | None:
    """Return the options of the program that a command runs; None for another's program."""
    if match := re.match(r"edgenet(?: (?!-)([\w-]+))?", command):
        verb = match[1] or ""
        assert verb in {*options_of_verbs(), "VERB"}, f"there is no verb {verb}"
        return options_of_verbs()["" if verb == "VERB" else verb]
    if match := re.match(r"python device_scripts/(\w+\.py)", command):
        return options_of_scripts()[match[1]]
    return None


@by_page
def test_commands_use_options_that_help_shows(page: Path) -> None:
    quoted = re.findall(r"`(edgenet [^`]+|python device_scripts/[^`]+)`", prose(page).replace("\n", " "))
    printed = [
        c for block in blocks(page) if block.language in ("console", "sh") for c in commands(block.text)
    ]
    for whole in (*quoted, *printed):
        command, _, of_camera = whole.partition(" -- ")  # what follows are camera.py's options
        assert set(OPTION.findall(of_camera)) <= options_of_scripts()["camera.py"], whole
        known = known_options(command)
        unknown = set(OPTION.findall(command)) - known if known else set()
        assert not unknown, f"{page.name}: `{command}` has no {sorted(unknown)}"


@by_page
def test_options_named_in_prose_exist(page: Path) -> None:
    known = options_of_tools().union(*options_of_verbs().values(), *options_of_scripts().values(), OTHERS)
    unknown = set(OPTION.findall(re.sub(r"<!--.*?-->", "", prose(page), flags=re.DOTALL))) - known
    assert not unknown, f"{page.name} names {sorted(unknown)}, which no --help shows"


def test_the_tour_has_every_verb() -> None:
    shown = {verb for verb in options_of_verbs() if verb}
    assert shown == set(re.findall(r"^## ([a-z-]+)$", prose(DOCS / "verbs.md"), re.MULTILINE))
