"""Targets that are command lines: words for `edgenet` and for the device scripts, as a shell may hand them over."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from edgenet.errors import EdgenetError
from tools.fuzz import ROOT
from tools.fuzz.data_targets import archive_seeds, photo_seeds
from tools.fuzz.mutations import WORDS
from tools.fuzz.report_targets import report_seeds
from tools.fuzz.tflite_targets import bundle_seeds, tflite_seeds
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target

# Paths that lead out of the scratch folder are the user's own wish here, not an attack.
_WORDS = tuple(word for word in WORDS if "/" not in word and word not in ("~", "..") and len(word) < 6000)
_VALUES = (
    *_WORDS,
    "net.tflite",
    "net.edgenet",
    "report.json",
    "photos",
    "photos.zip",
    "labels.txt",
    "absent",
    ".",
    "local",
    "nowhere:1",
)
_OPTIONS = (
    "--json",
    "--out",
    "--threads",
    "--top",
    "--data",
    "--labels",
    "--name",
    "--limit",
    "--list",
    "--resolution",
    "--against",
    "--licence",
    "-h",
    "--version",
    "--",
    "-",
    "--thre",
    "--on",
)


@cache
def host_seeds() -> dict[str, bytes]:
    """Return command lines that end at once, also those of long works, whose data are absent."""
    lines = [
        ["models"],
        ["models", "--json"],
        ["inspect", "net.tflite"],
        ["inspect", "net.edgenet", "--json"],
        ["report", "report.json", "--out", "page.html"],
        ["compare", "report.json", "report.json"],
        ["package", "net.tflite", "--out", "new.edgenet"],
        ["export-scripts", "scripts"],
        ["evaluate", "net.edgenet", "--data", "absent"],
        ["convert", "absent.onnx", "--calibration", "absent", "--out", "x.tflite"],
        ["train", "mobilenet_v1_0.25_128", "absent", "--out", "run"],
        ["select", "absent", "--latency", "5", "--on", "nowhere"],
        ["bench", "absent.tflite", "--on", "nowhere"],
        ["deploy", "absent.edgenet", "--on", "nowhere"],
        ["status", "--on", "nowhere"],
    ]
    return {" ".join(line): json.dumps(line).encode() for line in lines}


@cache
def device_seeds() -> dict[str, bytes]:
    """Return command lines of classify.py, which runs to its end on a photo."""
    lines = [
        ["net.edgenet", "photos"],
        ["net.tflite", "photos/a/1.png", "--json"],
        ["net.tflite", "photos", "--top", "2", "--every", "2"],
        ["net.edgenet", "clip.avi", "--frames", "2"],
        ["net.edgenet", "--source", "photos", "--threads", "1"],
        ["absent", "0"],
    ]
    return {" ".join(line): json.dumps(line).encode() for line in lines}


def words_changed(data: bytes, rng: random.Random) -> bytes:
    """Change, add, remove or swap the words of a command line."""
    words = json.loads(data)
    place = rng.randrange(len(words) + 1)
    way = rng.randrange(6)
    if way == 0:
        words[place:place] = [rng.choice(_OPTIONS), rng.choice(_VALUES)]
    elif way == 1:
        words.insert(place, rng.choice(_VALUES))
    elif way == 2 and len(words) > 1:
        words.pop(min(place, len(words) - 1))
    elif way == 3:
        rng.shuffle(words)
    elif words:
        place = min(place, len(words) - 1)
        start = rng.randrange(len(words[place]) + 1)
        words[place] = rng.choice(
            (rng.choice(_VALUES), words[place][:start] + rng.choice(_WORDS) + words[place][start:])
        )
    return json.dumps(words).encode()


def _folder_with_files(folder: Path) -> None:
    """Fill the scratch folder with the files that the command lines name."""
    contents = {
        "net.tflite": tflite_seeds()["tiny"],
        "net.edgenet": bundle_seeds()["tiny"],
        "report.json": report_seeds()["plain"],
        "photos.zip": archive_seeds()["folders"],
        "labels.txt": b"red\ngreen\nblue\n",
        "photos/a/1.png": photo_seeds()[".png"],
        "photos/b/\x1b[2J\u202e.png": photo_seeds()[".png"],
        "photos/b/" + "long" * 50 + ".png": b"damaged",
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def host(folder: Path) -> Check:
    """Run `edgenet` in this process; measuring, which takes long, is refused."""
    from edgenet_device.classifier import Classifier

    from edgenet.commands.app import main
    from edgenet.workflows import reports

    def refused(*arguments: Any, **options: Any) -> Any:
        raise EdgenetError("nothing is measured here")

    reports.measure_on = refused
    _folder_with_files(folder)
    Classifier(
        folder / "net.edgenet", 1
    )  # the first run, in a child process, which no command line starts then
    return _running(folder, "edgenet", lambda arguments: main())


def device(folder: Path) -> Check:
    """Run classify.py in this process."""
    import runpy

    from edgenet_device.entry import run

    script = runpy.run_path(str(ROOT / "device_scripts" / "classify.py"), run_name="classify")
    _folder_with_files(folder)
    return _running(folder, "classify.py", lambda arguments: sys.exit(run(lambda: script["main"](arguments))))


def _running(folder: Path, name: str, program: Callable[[list[str]], Any]) -> Check:
    kept = {entry.name for entry in folder.iterdir()} | {"output", "cache"}

    def check(data: bytes) -> None:
        words = json.loads(data)
        given = [os.fsdecode(word.replace("\0", "").encode("utf-8", "surrogatepass")) for word in words]
        sys.argv = [name, *given]
        try:
            program(given)
            status: Any = 0
        except SystemExit as end:
            status = end.code
        finally:
            _tidy(folder, kept)
        if status not in (0, None):
            assert status in (1, 2, 3), f"exit status {status!r}"
            raise EdgenetError(f"exit status {status}")

    return check


def _tidy(folder: Path, kept: set[str]) -> None:
    os.chdir(folder)
    for entry in folder.iterdir():
        if entry.name not in kept:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


TARGETS = (
    Target(
        "command-host",
        "the command line of edgenet",
        ("edgenet.commands.app",),
        host_seeds,
        (words_changed,),
        host,
        prints=True,
        weight=2,
        part=0.5,
    ),
    Target(
        "command-device",
        "the command line of classify.py",
        ("edgenet_device.entry",),
        device_seeds,
        (words_changed,),
        device,
        prints=True,
        starts=True,
    ),
)
