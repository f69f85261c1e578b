"""Commands of three pipelines from a picture to its five best labels: ours, MediaPipe Tasks and a plain script."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import ROOT, python_of
from edgenet.assets import device_scripts

CLIENTS = ROOT / "benchmarks" / "camera_clients"
OURS, MEDIAPIPE, PLAIN = "ours", "MediaPipe", "plain"


@dataclass(frozen=True)
class Pair:
    """One network as an int8 file and a float file."""

    name: str
    int8: Path
    float32: Path


def mediapipe_python() -> Path:
    """Return the interpreter of MediaPipe's environment; make the environment if it is missing."""
    return python_of("mediapipe", ROOT / "benchmarks" / "client_programs" / "requirements-mediapipe.txt")


def frame_commands(pair: Pair, frames: Path, mediapipe: Path) -> dict[str, list[object]]:
    """Return waiting clients that classify frames of FRAMES.npy on request, each with one thread on one core."""
    return {
        OURS: [sys.executable, CLIENTS / "ours.py", pair.int8, frames],
        MEDIAPIPE: [mediapipe, CLIENTS / "mediapipe_tasks.py", pair.int8, frames],
        PLAIN: [sys.executable, CLIENTS / "plain.py", pair.float32, frames],
    }


def first_label_commands(pair: Pair, picture: Path, mediapipe: Path) -> dict[str, list[object]]:
    """Return commands of processes that classify one picture and end."""
    return {
        OURS: [sys.executable, str(device_scripts() / "camera.py"), pair.int8, picture, "--frames", "1"],
        MEDIAPIPE: [mediapipe, CLIENTS / "mediapipe_tasks.py", pair.int8, "--first", picture],
        PLAIN: [sys.executable, CLIENTS / "plain.py", pair.float32, "--first", picture],
    }
