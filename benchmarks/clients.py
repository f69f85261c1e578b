"""Does the same .tflite work, and say the same, in every client? Each runs in its own environment.

    python -m benchmarks.clients MODEL.tflite --photos 100 --data ../shared/data/imagenet-sample-500.zip

Clients: ai-edge-litert (what the others are held against), tflite-runtime, MediaPipe Tasks; in Chromium LiteRT.js and
MediaPipe for the web. The environments are made under `.envs/` the first time (about a minute). All get the same
pixels, at the network's own size.
"top-1 equal" is of each client's own first choice; "else tied": another choice with the very same score.
Exit status 1 when a client does not take the file or sees other labels; scores are reported, not judged, because
kernel sets differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import ROOT, python_of
from edgenet.bundle import read_contract
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError

FOLDER = ROOT / "benchmarks" / "clients"
# The first is the reference.
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
    """What one client said.

    Attributes:
        version: of the client.
        labels: the class names as it sees them.
        top1: its own first choice for each photo, [n].
        scores: float64 [n, classes], in the labels' order.
    """

    version: str
    labels: list[str]
    top1: np.ndarray
    scores: np.ndarray


def main() -> int:
    """Reads the command line and prints a table for each model; returns the exit status."""
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
    """Runs every client over `count` photos and prints the table; returns 1 where one fails, else 0."""
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
    """Every client's answer by name, or why there is none."""
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
    """The rows to print, the head first; everything is against the first client."""
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
    # Clients break ties differently: a choice that the reference scores just as high is no other opinion.
    chosen, best = (np.take_along_axis(reference.scores, one.top1[:, None], 1) for one in (answer, reference))
    tied = ~equal & (chosen == best)[:, 0]
    return (
        labels,
        f"{100 * equal.mean():.1f} %",
        f"{100 * tied.mean():.1f} %",
        f"{np.abs(answer.scores - reference.scores).max():.2g}",
    )


def ask(name: str, model: Path, photos: Path) -> Answer | str:
    """What one client says.

    Args:
        name: of `CLIENTS`.
        photos: an .npz with "images", uint8 [n, H, W, 3] of the network's size.

    Returns:
        The answer; the end of the client's last message where it fails.
    """
    try:
        python = _python(name)
    except EdgenetError as error:
        return str(error)
    command = [str(python), str(FOLDER / CLIENTS[name]), str(model), str(photos)]
    try:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired:
        return f"no answer within {_TIMEOUT_S} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return _parse(json.loads(done.stdout))


def _python(name: str) -> Path:
    """Those in a browser are driven by edgenet's own environment, the others have one each."""
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
