"""The verb `demo`: trains a network, converts ImageNet weights, classifies a video and measures latency."""

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
    """The result of `demo`.

    Attributes:
        digits: the trained digits network and its accuracy.
        labels: best label of the video's frames, with the number of frames, the most frequent label first.
        camera: the camera that was used; None if no camera gives pictures.
        inference_p50_ms: median inference time with one thread, from the latency report, milliseconds.
        valid: whether the latency report is valid; `reasons` says why not.
        files: every model, bundle, report and picture that was written; the video's picture is last.
    """

    digits: DigitsDemo
    labels: dict[str, int]
    camera: str | None
    inference_p50_ms: float
    valid: bool
    reasons: tuple[str, ...]
    files: tuple[str, ...]


def demo(out: Path, progress: Progress = silent, say: Say = lambda line: None) -> Demo:
    """Train and quantize V1 on digits; convert V2 with ImageNet weights and run the device scripts on it.

    Args:
        out: folder for everything that the demo writes; made if missing.
        say: called with a line before and after each step.

    Raises:
        EdgenetError: `out` cannot be made, the weights cannot be found or downloaded, or a device script
            fails.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(
            f"cannot make the folder {out}: {error.strerror}", "give another one with --out"
        ) from None
    say(
        f"[1/{STEPS}] training {TRAINED} on the handwritten digits that come with edgenet, then quantizing it"
    )
    digits = digits_demo(out, progress)
    say(f"      {_trained(digits)}")
    say(f"      packed into {digits.files[-1]}")
    model, bundle, report = out / f"{VARIANT}.tflite", out / f"{VARIANT}.edgenet", out / "latency.json"
    say(f"[2/{STEPS}] quantizing {VARIANT} with ImageNet weights, calibrated on calibration_data/")
    made = convert(VARIANT, model, Calibration(calibration_photos()), progress=progress)
    say(f"      {_converted(made)}")
    package(model, bundle)
    say(f"[3/{STEPS}] packed into {bundle}")
    say(f"[4/{STEPS}] classifying a video on this machine: {_command('classify', bundle, near(clip()))}")
    picture = out / "video.png"
    seen = _classify(bundle, str(clip()), picture, ["--every", str(VIDEO_EVERY)])
    say(f"      {_summary(seen)}")
    camera = _look_through_camera(bundle, out / "camera.png", say)
    say(f"[5/{STEPS}] measuring latency, one thread: {_command('measure_latency', bundle)}")
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
    """Return the folder of calibration photos that come with edgenet."""
    return Path(str(files("calibration_data")))


def clip() -> Path:
    """Return the path of the video that comes with edgenet."""
    return Path(str(files("edgenet.assets"))) / "clip.mp4"


def near(path: Path) -> Path:
    """Return a path inside the current folder relative to that folder; any other path unchanged."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def first_camera() -> str | None:
    """Return the video device with the lowest number, or None if there is no video device."""
    cameras = [path for path in Path("/dev").glob("video*") if path.name.removeprefix("video").isdecimal()]
    return str(min(cameras, key=lambda path: int(path.name.removeprefix("video")))) if cameras else None


def _look_through_camera(bundle: Path, picture: Path, say: Say) -> str | None:
    """Classify some frames of the first camera; return its path, or None if no camera gives pictures."""
    camera = first_camera()
    if camera is None:
        say("      no camera is attached; with one, the demo classifies its pictures too")
        return None
    try:
        frames = _classify(bundle, camera, picture, ["--frames", str(CAMERA_FRAMES)])
    except EdgenetError as error:  # not every video device is a camera: a Raspberry Pi's decoders are not
        say(f"      {camera} gives no pictures: {error.found}")
        return None
    say(f"      camera {camera}: {_summary(frames)}")
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
