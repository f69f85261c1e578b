"""What does a camera's frame cost, from the picture in memory to its five best labels? Three clients, in turns.

    python -m benchmarks.camera --data ../shared/data

Ours (the loop of device_scripts/camera.py), MediaPipe Tasks' ImageClassifier with the same int8 file, and a plain
script of PIL and the float file; all on one core, with one thread, 640x480 frames, in blocks that take turns. Then the
time from the start of the process to the first label, and the memory of camera.py with MobileNetV2 1.0/224.
Exit status 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.environments import ROOT, python_of
from benchmarks.processes import measure

CLIENTS = ROOT / "benchmarks" / "camera_clients"
CLIP = ROOT / "edgenet" / "assets" / "clip.mp4"
BLOCK, BLOCKS, WARM_UP = 60, 9, 30
STARTS = 7
MIB_ALLOWED = 150
# Our time at most so much of theirs: per frame (MediaPipe, plain), and MediaPipe's start at least so much of ours.
GOALS = {"mobilenet_v1_1.0_224": (0.85, 0.5), "mobilenet_v1_0.25_128": (0.5, 0.25)}
START_GOAL = 3.0


@dataclass(frozen=True)
class Pair:
    """One network, as int8 and float file."""

    name: str
    int8: Path
    float32: Path


def main() -> int:
    """Reads the command line, measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="see README.md here"
    )
    arguments = parser.parse_args()
    peer = python_of("mediapipe", ROOT / "benchmarks" / "clients" / "requirements-mediapipe.txt")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # inherited by every client
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pairs = [_real_v1(work, arguments.data), small_v1(work)]
        frames = _frames(work)
        missed = [goal for pair in pairs for goal in _steady(pair, frames, peer)]
        missed += _starts(pairs[0], work, peer)
        missed += _memory(work)
    print("all goals met" if not missed else "missed: " + "; ".join(missed))
    return int(bool(missed))


def _steady(pair: Pair, frames: Path, peer: Path) -> list[str]:
    """Blocks of frames in turns; prints medians and ratios, returns the goals missed."""
    commands = {
        "ours": [sys.executable, CLIENTS / "ours.py", pair.int8, frames],
        "MediaPipe": [peer, CLIENTS / "mediapipe_tasks.py", pair.int8, frames],
        "plain": [sys.executable, CLIENTS / "plain.py", pair.float32, frames],
    }
    running = {name: _client(command) for name, command in commands.items()}
    blocks: dict[str, list[float]] = {name: [] for name in running}
    for name in running:
        _turn(running[name], WARM_UP)
    for _ in range(BLOCKS):
        for name, process in running.items():
            blocks[name].append(median(_turn(process, BLOCK)))
    for process in running.values():
        process.communicate("")
    missed = []
    print(f"{pair.name}: ms a frame, median of {BLOCKS} blocks of {BLOCK} frames, each block's own median")
    for name, values in blocks.items():
        ratios = [ours / other for ours, other in zip(blocks["ours"], values, strict=True)]
        line = f"  {name:<10} {median(values):7.3f}  ({min(values):.3f} to {max(values):.3f})"
        print(line if name == "ours" else f"{line}  ours is {median(ratios):.2f} of it")
    for name, goal in zip(("MediaPipe", "plain"), GOALS[pair.name], strict=True):
        ratio = median(ours / other for ours, other in zip(blocks["ours"], blocks[name], strict=True))
        if ratio > goal:
            missed.append(f"{pair.name}: {ratio:.2f} of {name}'s time, goal {goal}")
    return missed


def _client(command: list[object]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _turn(process: subprocess.Popen[str], count: int) -> list[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit(f"{process.args} ended without an answer")
    return [float(ms) for ms in json.loads(answer)]


def _starts(pair: Pair, work: Path, peer: Path) -> list[str]:
    """Fresh processes in turns, each until its first label is printed."""
    picture = work / "frame.png"
    commands = {
        "ours": [sys.executable, "-m", "device_scripts.camera", pair.int8, picture, "--frames", "1"],
        "MediaPipe": [peer, CLIENTS / "mediapipe_tasks.py", pair.int8, "--first", picture],
        "plain": [sys.executable, CLIENTS / "plain.py", pair.float32, "--first", picture],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            seconds[name].append(_first_line(command))
    print(f"{pair.name}: from the start of the process to the first label, s, median of {STARTS}")
    for name, values in seconds.items():
        print(f"  {name:<10} {median(values):7.3f}  ({min(values):.3f} to {max(values):.3f})")
    ratio = median(theirs / ours for theirs, ours in zip(seconds["MediaPipe"], seconds["ours"], strict=True))
    print(f"  MediaPipe takes {ratio:.2f} times as long as ours")
    return (
        [] if ratio >= START_GOAL else [f"start: {ratio:.2f} times as fast as MediaPipe, goal {START_GOAL:g}"]
    )


def _first_line(command: list[object]) -> float:
    began = time.perf_counter()
    with _client(command) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit(f"{command} said nothing")
        return time.perf_counter() - began


def _memory(work: Path) -> list[str]:
    model = work / "v2.tflite"
    _convert("mobilenet_v2_1.0_224", model, "--calibration", ROOT / "calibration_data", "--recipe", "minmax")
    command = [sys.executable, "-m", "device_scripts.camera", str(model), str(CLIP), "--threads", "1"]
    cost = measure(command, work / "log")
    print(f"camera.py with mobilenet_v2_1.0_224 over the whole clip: {cost.peak_mib:.0f} MiB at most")
    return [] if cost.peak_mib < MIB_ALLOWED else [f"memory {cost.peak_mib:.0f} MiB, goal {MIB_ALLOWED}"]


def _frames(work: Path) -> Path:
    """Frames of the clip, 640x480; the first as a picture too."""
    capture, frames = cv2.VideoCapture(str(CLIP)), []
    while len(frames) < 16:
        frames.append(cv2.resize(capture.read()[1], (640, 480), interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(work / "frame.png"), frames[0])
    np.save(work / "frames.npy", np.stack(frames))
    return work / "frames.npy"


def _real_v1(work: Path, data: Path) -> Pair:
    return _pair(work, "mobilenet_v1_1.0_224", data / "mobilenet_v1_1.0_224_imagenet.npz")


def small_v1(work: Path) -> Pair:
    """Fresh weights: nobody looks at what it says."""
    name, out = "mobilenet_v1_0.25_128", work / "small.safetensors"
    # In a process of its own: this one must stay small, see `measure`.
    subprocess.run([sys.executable, str(CLIENTS / "fresh_network.py"), name, str(out)], check=True)
    return _pair(work, name, out)


def _pair(work: Path, name: str, source: Path) -> Pair:
    pair = Pair(name, work / f"{name}.tflite", work / f"{name}_float.tflite")
    _convert(source, pair.int8, "--calibration", ROOT / "calibration_data", "--recipe", "minmax")
    _convert(source, pair.float32, "--float")
    return pair


def _convert(source: object, out: Path, *more: object) -> None:
    command = [sys.executable, "-m", "edgenet", "convert", source, "--out", out, *more]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
