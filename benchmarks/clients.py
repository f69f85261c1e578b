"""Does one .tflite work in every client, and give the same scores? Each client runs in its own environment.

    .venv/bin/python -m benchmarks.clients MODEL.tflite --photos 100 --data ../shared/data/imagenet-sample-500.zip

The clients are ai-edge-litert (the reference), tflite-runtime and MediaPipe Tasks, and in Chromium LiteRT.js and
MediaPipe for the web. The environments are made under `.envs/` the first time (about a minute). All clients get the
same pixels, at the network's own size.
"top-1 equal" compares each client's first choice; "else tied" counts other choices with exactly the same score.
The exit status is 1 if a client cannot load the file or reads other labels. Differences of scores are only reported,
because the clients' kernels differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import ROOT, importable_project, python_of
from edgenet.bundle import read_contract
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError

FOLDER = ROOT / "benchmarks" / "client_programs"
# The first client is the reference.
CLIENTS = {
    "ai-edge-litert": "litert_client.py",
    "tflite-runtime": "litert_client.py",
    "mediapipe": "mediapipe_client.py",
    "litert.js": "litert_js_client.py",
    "mediapipe-web": "mediapipe_web_client.py",
}
_TIMEOUT_S = 900
_COLUMNS = ("client", "version", "loads", "labels", "top-1 equal", "else tied", "max |difference|")


@dataclass(frozen=True)
class Answer:
    """The result of one client.

    Attributes:
        version: the client's version.
        labels: the class names as the client reads them.
        top1: the client's own first choice for each photo, [n].
        scores: float64 [n, classes], in the order of the labels.
    """

    version: str
    labels: list[str]
    top1: np.ndarray
    scores: np.ndarray


def main() -> int:
    """Read the command line and print a table for each model; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.tflite")
    parser.add_argument("--data", type=Path, required=True, help="folder or zip of photos")
    parser.add_argument("--photos", type=int, default=100, metavar="N", help="how many of them (default 100)")
    arguments = parser.parse_args()
    try:
        return max([check(model, arguments.data, arguments.photos) for model in arguments.models])
    except EdgenetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def check(model: Path, data: Path, count: int) -> int:
    """Run every client on `count` photos and print the table; return 1 if one fails, else 0."""
    answers = ask_all(model, data, count)
    rows = table(answers)
    reference = answers[next(iter(CLIENTS))]
    photos = "" if isinstance(reference, str) else f", {len(reference.top1)} photos"
    print(f"{model.name}{photos}\n")
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for name, answer in answers.items():
        if isinstance(answer, str):
            print(f"\n{name}: {answer}")
    print()
    return int(any(row[2:4] != ("yes", "equal") for row in rows[1:]))


def ask_all(model: Path, data: Path, count: int) -> dict[str, Answer | str]:
    """Return every client's answer by name, or the reason why it has none."""
    try:
        source, _ = read_contract(model.read_bytes())
    except OSError as error:
        raise EdgenetError(f"cannot read {model}: {error.strerror}", "check the path") from error
    if source.height != source.width:
        raise EdgenetError(f"{model} takes {source.height}x{source.width} pixels", "give a square network")
    loaded = load_all(open_photos(data), source.height, limit=count)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos.npz"
        np.savez(photos, images=loaded.images)
        return {name: ask(name, model, photos) for name in CLIENTS}


def table(answers: dict[str, Answer | str]) -> list[tuple[str, ...]]:
    """Return the rows to print, the header first; the clients are compared with the first one."""
    reference = next(iter(answers.values()))
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for name, answer in answers.items():
        if isinstance(answer, str) or isinstance(reference, str):
            loads = "no" if isinstance(answer, str) else "yes"
            rows.append((name, "-" if isinstance(answer, str) else answer.version, loads, "-", "-", "-", "-"))
        else:
            rows.append((name, answer.version, "yes", *_comparison(answer, reference)))
    return rows


def _comparison(answer: Answer, reference: Answer) -> tuple[str, ...]:
    labels = "equal" if answer.labels == reference.labels else "differ"
    if answer.scores.shape != reference.scores.shape:
        return labels, "-", "-", f"{answer.scores.shape[1]} scores, not {reference.scores.shape[1]}"
    equal = answer.top1 == reference.top1
    # Clients break ties differently: another choice that the reference scores equally is no disagreement.
    chosen, best = (np.take_along_axis(reference.scores, one.top1[:, None], 1) for one in (answer, reference))
    tied = ~equal & (chosen == best)[:, 0]
    return (
        labels,
        f"{100 * equal.mean():.1f} %",
        f"{100 * tied.mean():.1f} %",
        f"{np.abs(answer.scores - reference.scores).max():.2g}",
    )


def ask(name: str, model: Path, photos: Path) -> Answer | str:
    """Ask one client.

    Args:
        name: a key of `CLIENTS`.
        model: the .tflite.
        photos: an .npz with "images", uint8 [n, H, W, 3] of the network's size.

    Returns:
        The answer, or the end of the client's last message if it fails.
    """
    try:
        python = _python(name)
    except EdgenetError as error:
        return str(error)
    command = [str(python), str(FOLDER / CLIENTS[name]), str(model), str(photos)]
    try:
        environment = importable_project()
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired:
        return f"no answer within {_TIMEOUT_S} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return _parse(json.loads(done.stdout))


def _python(name: str) -> Path:
    """Return the client's interpreter: edgenet's own for clients in a browser, else that of the client's own."""
    requirements = FOLDER / f"requirements-{name}.txt"
    return python_of(name, requirements) if requirements.is_file() else Path(sys.executable)


def _parse(answer: dict[str, Any]) -> Answer:
    photos = answer["photos"]
    return Answer(
        version=answer["version"],
        labels=answer["labels"],
        top1=np.array([photo["top1"] for photo in photos]),
        scores=np.array([photo["scores"] for photo in photos], np.float64),
    )


if __name__ == "__main__":
    sys.exit(main())
