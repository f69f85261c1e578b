"""The verb `demo`: the whole way once: a training, then ImageNet weights to a classified video and a latency report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.verbs.convert import Conversion, convert
from edgenet.verbs.demo_digits import TRAINED, DigitsDemo, digits_demo
from edgenet.verbs.device_script import device_script
from edgenet.verbs.package import package
from edgenet.verbs.quantizing import Calibration

VARIANT = "mobilenet_v2_1.0_224"
CAMERA_FRAMES = 30
VIDEO_EVERY = 5
STEPS = 5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Demo:
    """What the demo made, and what it found.

    Attributes:
        digits: the network that it trained.
        labels: what the video's frames were called, with how many frames, the most frequent first.
        camera: the camera that was looked through, None where there is none that gives pictures.
        inference_p50_ms: of the latency report, one thread.
        valid: whether the latency report is; `reasons` says why not.
        files: every model, bundle and report that was written, the picture last.
    """

    digits: DigitsDemo
    labels: dict[str, int]
    camera: str | None
    inference_p50_ms: float
    valid: bool
    reasons: tuple[str, ...]
    files: tuple[str, ...]


def demo(out: Path, progress: Progress = silent, say: Say = lambda line: None) -> Demo:
    """Trains V1 on digits, to int8; converts V2 with ImageNet weights, packs it, runs the device scripts with it.

    Args:
        out: folder for what is made; made if it is not there.
        say: told a line as each step is done.

    Raises:
        EdgenetError: the weights are nowhere to be had, or a device script fails.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(
            f"cannot make the folder {out}: {error.strerror}", "give another one with --out"
        ) from None
    say(f"[1/{STEPS}] {TRAINED} from scratch on the handwritten digits that come with edgenet, to int8")
    digits = digits_demo(out, progress)
    say(f"      {_trained(digits)}")
    say(f"      packed into {digits.files[-1]}")
    model, bundle, report = out / f"{VARIANT}.tflite", out / f"{VARIANT}.edgenet", out / "latency.json"
    say(f"[2/{STEPS}] {VARIANT} with ImageNet weights to int8, with the photos of calibration_data/")
    made = convert(VARIANT, model, Calibration(calibration_photos()), progress=progress)
    say(f"      {_converted(made)}")
    package(model, bundle)
    say(f"[3/{STEPS}] packed into {bundle}")
    say(f"[4/{STEPS}] the device script on a video: {_command('classify', bundle, near(clip()))}")
    picture = out / "video.png"
    seen = _classify(bundle, str(clip()), picture, ["--every", str(VIDEO_EVERY)])
    say(f"      {_summary(seen)}")
    camera = _look_through_camera(bundle, out / "camera.png", say)
    say(f"[5/{STEPS}] latency, one thread: {_command('measure_latency', bundle)}")
    latency = _measure(bundle, report)
    pictures = [out / "camera.png", picture] if camera else [picture]
    return Demo(
        digits=digits,
        labels=_counted(seen),
        camera=camera,
        inference_p50_ms=latency["steady_state"]["p50_ms"],
        valid=latency["valid"],
        reasons=tuple(latency["reasons"]),
        files=tuple(str(path) for path in (*digits.files, model, bundle, report, *pictures)),
    )


def calibration_photos() -> Path:
    """The photos that come with edgenet."""
    return Path(str(files("calibration_data")))


def clip() -> Path:
    """The video that comes with edgenet."""
    return Path(str(files("edgenet.assets"))) / "clip.mp4"


def near(path: Path) -> Path:
    """The path as it is seen from the current folder, where it lies in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def first_camera() -> str | None:
    """The video device with the lowest number, None where there is none."""
    cameras = [path for path in Path("/dev").glob("video*") if path.name.removeprefix("video").isdecimal()]
    return str(min(cameras, key=lambda path: int(path.name.removeprefix("video")))) if cameras else None


def _look_through_camera(bundle: Path, picture: Path, say: Say) -> str | None:
    """Classifies some frames of the first camera; without one, or one that gives no picture, the demo goes on."""
    camera = first_camera()
    if camera is None:
        say("      no camera is attached; with one, the demo looks through it too")
        return None
    try:
        frames = _classify(bundle, camera, picture, ["--frames", str(CAMERA_FRAMES)])
    except EdgenetError as error:  # not every video device is a camera: a Raspberry Pi's decoders are none
        say(f"      {camera} gives no pictures: {error.found}")
        return None
    say(f"      through {camera}: {_summary(frames)}")
    return camera


def _command(script: str, *arguments: Path) -> str:
    return f"python -m device_scripts.{script} {' '.join(map(str, arguments))}"


def _trained(digits: DigitsDemo) -> str:
    return (
        f"{digits.training_photos} digits, {digits.epochs} epochs in {digits.training_s:.1f} s; "
        f"top-1 on {digits.n} others: float {digits.float_top1:.2f} %, int8 {digits.int8_top1:.2f} %"
    )


def _converted(made: Conversion) -> str:
    return f"{made.bytes / 1e6:.1f} MB, {made.operators} operators, in {sum(made.seconds.values()):.1f} s"


def _classify(bundle: Path, source: str, picture: Path, options: list[str]) -> list[dict[str, Any]]:
    arguments = [str(bundle), source, "--json", "--contact-sheet", str(picture), *options]
    return [json.loads(line) for line in device_script("classify", arguments).splitlines()]


def _measure(bundle: Path, report: Path) -> dict[str, Any]:
    device_script("measure_latency", [str(bundle), "--out", str(report)])
    measured: dict[str, Any] = json.loads(report.read_text())
    return measured


def _counted(lines: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in lines:
        if line["type"] == "frame":
            label = line["top"][0]["label"]
            counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _summary(lines: list[dict[str, Any]]) -> str:
    counts = _counted(lines)
    total = sum(counts.values())
    named = ", ".join(f"{label} ({count} of {total} frames)" for label, count in list(counts.items())[:3])
    return f"{named}; {lines[-1]['sum_of_p50_ms']:.1f} ms a frame"
