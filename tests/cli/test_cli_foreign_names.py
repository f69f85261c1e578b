"""No name that others wrote reaches a terminal as a command: the real commands, with hostile names."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import Edgenet
from edgenet_device.foreign_text import json_text, one_line, printable_lines, read_json
from tiny_model import tiny_model

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b]0;title\x07\x9b2J\x7f\u202egnp.\u2066\u2029<script>"
"""Terminal commands that write the clipboard, clear the screen and set the title, and marks that turn the direction."""
FAMILY = "\U0001f468\u200d\U0001f469"
LABELS = (HOSTILE, "b" * 10_000, f"c {FAMILY} \u202a\u2069")
SIZE = 32


def check_harmless(text: str) -> None:
    """Fail for any character that a terminal could take as a command, or that turns the direction."""
    bad = {c for c in text if not (c.isprintable() or c in "\n\u200c\u200d")}
    assert not bad, bad


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with hostile labels and a hostile name of its file."""
    path = tmp_path / f"m{HOSTILE.replace('/', '')}.tflite"
    path.write_bytes(tiny_model(size=SIZE))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "\n".join(LABELS) + "\n")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos with hostile names; one of them is damaged."""
    folder = tmp_path / "photos"
    folder.mkdir()
    data = cv2.imencode(".png", np.full((40, 40, 3), 200, np.uint8))[1].tobytes()
    (folder / f"a{HOSTILE}.png").write_bytes(data)
    (folder / "b\x1b[2J.png").write_bytes(data[:60])
    return folder


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )
    check_harmless(done.stdout)
    check_harmless(done.stderr)
    assert "Traceback" not in done.stderr
    return done


def script(name: str) -> Path:
    return ROOT / "device_scripts" / name


@pytest.mark.parametrize("name", ["classify.py", "camera.py"])
def test_labels_and_names_of_photos_reach_no_terminal(name: str, model: Path, photos: Path) -> None:
    done = run(script(name), model, photos)
    assert done.returncode == 0, done.stderr
    assert "skipped 1 of 2 photos" in done.stderr
    assert max(map(len, done.stdout.splitlines())) < 1000
    assert "]52;c" in done.stdout


@pytest.mark.parametrize("name", ["classify.py", "camera.py"])
def test_json_keeps_the_names_and_stays_valid(name: str, model: Path, photos: Path) -> None:
    done = (
        run(script(name), model, photos, "--json", "--top=3")
        if name == "classify.py"
        else run(script(name), model, photos, "--json")
    )
    frames = [one for one in map(json.loads, done.stdout.splitlines()) if one["type"] == "frame"]
    assert {row["label"] for row in frames[0]["top"]} == {label.strip() for label in LABELS}
    assert frames[0]["name"] == f"a{HOSTILE}.png"


@pytest.mark.slow
def test_the_latency_table_and_errors(model: Path, tmp_path: Path) -> None:
    assert run(script("measure_latency.py"), model, "--runs=1", "--min-seconds=0").returncode == 0
    for name in ("classify.py", "camera.py", "measure_latency.py"):
        assert run(script(name), tmp_path / HOSTILE, "x" + HOSTILE).returncode in (1, 2)
        assert run(script(name), model, f"--{HOSTILE}").returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["inspect", "MODEL"],
        ["inspect", "MODEL", "--json"],
        ["evaluate", "MODEL", "--data", "PHOTOS"],
        ["package", "MODEL", "--out", "OUT"],
        ["report", "PHOTOS"],
        ["compare", "MODEL", "MODEL"],
        ["convert", "MODEL", "--out", "OUT"],
        ["train", "--data", "PHOTOS", "--out", "OUT"],
        ["inspect", "MODEL", "HOSTILE"],
        ["inspect", "--HOSTILE"],
        ["HOSTILE"],
        ["--HOSTILE"],
        ["bench", "MODEL", "--on", "HOSTILE"],
        ["deploy", "MODEL", "--on", "HOSTILE"],
        ["camera", "MODEL", "HOSTILE", "--on", "local", "--frames", "1"],
    ],
)
def test_edgenet_prints_no_hostile_name(
    command: list[str],
    model: Path,
    photos: Path,
    tmp_path: Path,
    edgenet: Edgenet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    places = {"MODEL": str(model), "PHOTOS": str(photos), "OUT": str(tmp_path / "out"), "HOSTILE": HOSTILE}
    words = [places.get(word, word.replace("HOSTILE", HOSTILE)) for word in command]
    ran = edgenet(*words)
    check_harmless(ran.out + ran.err)
    assert "Traceback" not in ran.err
    if "--json" in words and ran.status == 0:
        assert json.loads(ran.out)
    assert ran.out + ran.err


def test_one_line_and_lines() -> None:
    check_harmless(one_line(HOSTILE))
    assert "\n" not in one_line(f"a\n{HOSTILE}\r\nb")
    assert one_line("b" * 10_000) == "b" * 199 + "…"
    assert one_line(f"Zoë {FAMILY} می\u200cخواهم") == f"Zoë {FAMILY} می\u200cخواهم"
    assert printable_lines("a\x1b[2J\nb\u202e") == "a [2J\nb "
    assert len(printable_lines("b" * 10_000)) == 2000


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_json_is_escaped_and_reads_back(ensure_ascii: bool) -> None:
    value = {HOSTILE: [HOSTILE, FAMILY, "é"], "n": float("nan")}
    text = json_text(value, indent=1, ensure_ascii=ensure_ascii)
    check_harmless(text)
    assert read_json(text) == {**value, "n": None}


ALLOWED = {"device_scripts/edgenet_device/foreign_text.py", "edgenet/commands/console.py"}


def test_everything_is_printed_in_one_way() -> None:
    """A plain print of anything but a fixed text or `json_text` would let names through."""
    found = []
    for path in [*(ROOT / "device_scripts").rglob("*.py"), *(ROOT / "edgenet").rglob("*.py")]:
        name = path.relative_to(ROOT).as_posix()
        if name in ALLOWED:
            continue
        text = path.read_text(encoding="utf-8")
        if "print(" not in text and "echo(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo", "click.echo"):
                given = ast.unparse(node.args[0]) if node.args else "''"
                fixed = node.args and isinstance(node.args[0], ast.Constant)
                if not fixed and not given.startswith(("json_text(", "self.format_help()")):
                    found.append(f"{name}:{node.lineno} {given}")
    assert found == [
        one for one in found if "usage: python -m edgenet_device" in one or "one_line(stage)" in one
    ], found
