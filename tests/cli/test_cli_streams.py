"""Outputs that cannot take what is printed, terminals with few characters, and Ctrl-C while modules are imported."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SCRIPT
from small_network import PHOTOS
from test_cli_start import heed_interrupts

from edgenet.commands.interrupts import caused_by_interrupt

QUICK = [("--help",), ("--version",), ("models",), ("models", "--json")]
SLOW = [("inspect", "int8.tflite"), ("inspect", "int8.tflite", "--json")]
PRINTING = [*QUICK, *(pytest.param(arguments, marks=pytest.mark.slow) for arguments in SLOW)]
"""Command lines that print much or little, as text, as a table by rich, or as JSON."""


def start(*arguments: str, made: Path, **options: object) -> subprocess.Popen[bytes]:
    command = [str(SCRIPT), *(str(made / part) if part.endswith(".tflite") else part for part in arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=heed_interrupts, **options)


def ended(running: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Its exit status, and what it printed on standard error."""
    _, err = running.communicate(timeout=120)
    return running.returncode, err.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_full_disk_is_one_line_and_status_1(made: Path, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        assert ended(start(*arguments, made=made, stdout=full)) == (
            1,
            "edgenet: the output cannot be written: No space left on device\n",
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_for_both_streams_is_status_1(made: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([SCRIPT, "models"], stdout=full, stderr=full, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_reader_that_has_gone_ends_it_like_other_unix_tools(made: Path, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(start(*arguments, made=made, stdout=writer)) == (141, "")
    finally:
        os.close(writer)


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_closed_output_is_one_line_and_status_1(made: Path, arguments: tuple[str, ...]) -> None:
    words = " ".join(str(made / part) if part.endswith(".tflite") else part for part in arguments)
    done = subprocess.run(f"{SCRIPT} {words} >&-", shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "edgenet: the output cannot be written: Bad file descriptor\n",
    )


def test_all_streams_may_be_closed(made: Path, tmp_path: Path) -> None:
    """The file that is written does not take the place of a stream, and nothing is printed into it."""
    out = tmp_path / "int8.edgenet"
    command = f"{SCRIPT} package {made / 'int8.tflite'} -o {out} <&- >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 1
    assert out.read_bytes() == (made / "int8.edgenet").read_bytes()


PROFILING = pytest.param(("inspect", "int8.tflite", "--profile"), "ascii", marks=pytest.mark.slow)
"""It prints what `inspect` prints, and the times after that."""


@pytest.mark.parametrize(
    ("arguments", "encoding"),
    [
        *((arguments, "latin-1") for arguments in QUICK),
        *((arguments, "ascii") for arguments in QUICK),
        *(pytest.param(arguments, "latin-1", marks=pytest.mark.slow) for arguments in SLOW),
        pytest.param(SLOW[1], "ascii", marks=pytest.mark.slow),
        PROFILING,
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_terminal_with_few_characters(made: Path, arguments: tuple[str, ...], encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "140"}
    running = start(*arguments, made=made, stdout=subprocess.PIPE, env=environment)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert err == b""
    assert out
    assert out.decode(encoding)


@pytest.mark.slow
def test_names_that_a_terminal_cannot_show(made: Path, tmp_path: Path) -> None:
    source = tmp_path / "modèle 网络.tflite"
    source.write_bytes((made / "int8.tflite").read_bytes())
    for arguments, status in ((("inspect", source), 0), (("inspect", f"{source}x"), 1)):
        command = [SCRIPT, *arguments]
        environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert done.returncode == status
        assert b"Traceback" not in done.stderr
        assert "modèle ??.tflite".encode("latin-1") in done.stdout + done.stderr


INTERRUPTING = """
import os, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
"""
IMPORTED = [
    "typer",
    "edgenet.commands.convert",
    "rich.console",
    "numpy",
    "numpy.linalg",
    "torch",
    "edgenet.workflows.convert",
    "ai_edge_litert",
]
"""Modules that `edgenet convert` and `package` import: of the standard parts, of edgenet, and in native code."""


@pytest.mark.parametrize(
    ("command", "module"),
    [
        *(([str(SCRIPT)], module) for module in IMPORTED),
        *(([sys.executable, "-m", "edgenet"], module) for module in ("typer", "torch")),
    ],
    ids=lambda value: value if isinstance(value, str) else Path(value[0]).name,
)
def test_ctrl_c_while_importing_is_130(made: Path, tmp_path: Path, command: list[str], module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING)
    out = tmp_path / "out" / "x.tflite"
    out.parent.mkdir()
    arguments = ("convert", made / "small.safetensors", "-o", out, "--calibration", PHOTOS)
    if module == "ai_edge_litert":  # convert imports torch before it, which takes long
        arguments = ("package", made / "int8.tflite", "-o", out.with_suffix(".edgenet"))
    done = subprocess.run(
        [*command, *map(str, arguments)],
        env=with_path(tmp_path, INTERRUPT_AT=module),
        capture_output=True,
        preexec_fn=heed_interrupts,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    assert list(out.parent.iterdir()) == []


def with_path(folder: Path, **more: str) -> dict[str, str]:
    """The environment with a folder in front of Python's import path."""
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{folder}:{before}" if before else str(folder), **more}


def test_ctrl_c_while_importing_shows_the_cursor_again(made: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING)
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [SCRIPT, "convert", made / "small.safetensors", "--float", "-o", tmp_path / "x.tflite"],
        env=with_path(tmp_path, INTERRUPT_AT="torch", TERM="xterm"),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        preexec_fn=heed_interrupts,
    )
    assert running.wait(timeout=60) == 130
    os.close(theirs)
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l"), "the cursor stays hidden"


def test_ctrl_c_that_is_ignored_stays_ignored(made: Path, tmp_path: Path) -> None:
    """As in a background job of a shell."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING)
    done = subprocess.run(
        [SCRIPT, "models"],
        env=with_path(tmp_path, INTERRUPT_AT="edgenet.workflows.models"),
        capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_error_in_place_of_an_interrupt_is_known() -> None:
    """numpy and others turn a KeyboardInterrupt in their native part into an ImportError."""
    error = ImportError("cannot import")
    assert not caused_by_interrupt(error)
    error.__cause__ = RuntimeError("cannot load")
    error.__cause__.__context__ = KeyboardInterrupt()
    assert caused_by_interrupt(error)
