"""How long does a camera's frame take, from the picture in memory to its five best labels? Three clients, in turns.

    .venv/bin/python -m benchmarks.camera --data ../shared/data

The clients are ours (the loop of device_scripts/camera.py), MediaPipe Tasks' ImageClassifier with the same int8 file,
and a plain script with PIL and the float file. All run on one core, with one thread, on 640x480 frames, in blocks that
take turns. Then it measures the time from the start of the process to the first label, and the memory of camera.py
with MobileNetV2 1.0/224. The exit status is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.environments import ROOT
from benchmarks.pipelines import (
    CLIENTS,
    MEDIAPIPE,
    OURS,
    PLAIN,
    Pair,
    first_label_commands,
    frame_commands,
    mediapipe_python,
)
from benchmarks.processes import measure
from benchmarks.waiting_clients import blocks_in_turns, one_core, ratio_of_blocks, start_client
from edgenet.assets import device_scripts
from edgenet.errors import EdgenetError

CLIP = ROOT / "edgenet" / "assets" / "clip.mp4"
BLOCK, BLOCKS, WARM_UP = 60, 9, 30
STARTS = 7
MIB_ALLOWED = 150
# The largest allowed ratios of our time per frame to the others' (MediaPipe, plain script). START_GOAL is the smallest
# allowed ratio of MediaPipe's start to ours.
GOALS = {"mobilenet_v1_1.0_224": (0.85, 0.5), "mobilenet_v1_0.25_128": (0.5, 0.25)}
START_GOAL = 3.0


def main() -> int:
    """Read the command line, measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="see README.md here"
    )
    arguments = parser.parse_args()
    try:
        missed = _measure(arguments.data)
    except EdgenetError as error:
        print(error, file=sys.stderr)
        return 1
    print("all goals met" if not missed else "missed: " + "; ".join(missed))
    return int(bool(missed))


def _measure(data: Path) -> list[str]:
    """Measure and print; return the goals that were missed."""
    peer = mediapipe_python()
    with one_core(), tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pairs = [_real_v1(work, data), small_v1(work)]
        frames = write_frames(work)
        missed = [goal for pair in pairs for goal in _steady(pair, frames, peer)]
        missed += _starts(pairs[0], work, peer)
        missed += _memory(work)
    return missed


def _steady(pair: Pair, frames: Path, peer: Path) -> list[str]:
    """Time blocks of frames in turns and print medians and ratios; return the goals that were missed."""
    blocks = blocks_in_turns(frame_commands(pair, frames, peer), BLOCKS, BLOCK, WARM_UP)
    missed = []
    print(f"{pair.name}: ms a frame, median of {BLOCKS} blocks of {BLOCK} frames, each block's own median")
    for name, values in blocks.items():
        line = f"  {name:<10} {median(values):7.3f}  ({min(values):.3f} to {max(values):.3f})"
        ratio = ratio_of_blocks(blocks[OURS], values)
        print(line if name == OURS else f"{line}  ours takes {ratio:.2f} of this time")
    for name, goal in zip((MEDIAPIPE, PLAIN), GOALS[pair.name], strict=True):
        ratio = ratio_of_blocks(blocks[OURS], blocks[name])
        if ratio > goal:
            missed.append(f"{pair.name}: {ratio:.2f} of {name}'s time, goal {goal}")
    return missed


def _starts(pair: Pair, work: Path, peer: Path) -> list[str]:
    """Time fresh processes in turns, each until its first label is printed; return the goals that were missed."""
    commands = first_label_commands(pair, work / "frame.png", peer)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            seconds[name].append(_first_line(command))
    print(f"{pair.name}: from the start of the process to the first label, s, median of {STARTS}")
    for name, values in seconds.items():
        print(f"  {name:<10} {median(values):7.3f}  ({min(values):.3f} to {max(values):.3f})")
    ratio = ratio_of_blocks(seconds[MEDIAPIPE], seconds[OURS])
    print(f"  MediaPipe takes {ratio:.2f} times as long as ours")
    return (
        [] if ratio >= START_GOAL else [f"start: {ratio:.2f} times as fast as MediaPipe, goal {START_GOAL:g}"]
    )


def _first_line(command: list[object]) -> float:
    began = time.perf_counter()
    with start_client(command) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit(f"{command} printed nothing")
        return time.perf_counter() - began


def _memory(work: Path) -> list[str]:
    model = work / "v2.tflite"
    _convert("mobilenet_v2_1.0_224", model, "--calibration", ROOT / "calibration_data", "--recipe", "minmax")
    command = [sys.executable, str(device_scripts() / "camera.py"), str(model), str(CLIP), "--threads", "1"]
    cost = measure(command, work / "log")
    print(f"camera.py with mobilenet_v2_1.0_224 over the whole clip: {cost.peak_mib:.0f} MiB at most")
    return [] if cost.peak_mib < MIB_ALLOWED else [f"memory {cost.peak_mib:.0f} MiB, goal {MIB_ALLOWED}"]


def write_frames(work: Path) -> Path:
    """Write frames of the clip, 640x480, as frames.npy, and the first of them as frame.png; return the .npy."""
    capture = cv2.VideoCapture(str(CLIP))
    frames: list[np.ndarray] = []
    while len(frames) < 16:
        frames.append(cv2.resize(capture.read()[1], (640, 480), interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(work / "frame.png"), frames[0])
    np.save(work / "frames.npy", np.stack(frames))
    return work / "frames.npy"


def _real_v1(work: Path, data: Path) -> Pair:
    return _pair(work, "mobilenet_v1_1.0_224", data / "mobilenet_v1_1.0_224_imagenet.npz")


def small_v1(work: Path) -> Pair:
    """Return files of a V1 0.25/128 with random weights, for timing only."""
    name, out = "mobilenet_v1_0.25_128", work / "small.safetensors"
    # This runs in a process of its own, because the benchmark's process must use little memory: see `measure`.
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
