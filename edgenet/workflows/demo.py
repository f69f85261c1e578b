"""The verb `demo`: trains a network on digits, converts ImageNet weights, classifies photos and a video, measures."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from edgenet_device.foreign_text import read_json

from edgenet.assets import calibration_photos, clip, device_scripts
from edgenet.assets.digits import write_digits
from edgenet.errors import EdgenetError
from edgenet.progress import Log, Progress, no_log, silent
from edgenet.training.state import STATE_FILE
from edgenet.workflows.arguments import checked
from edgenet.workflows.convert import Conversion, convert
from edgenet.workflows.evaluate import evaluate
from edgenet.workflows.package import package
from edgenet.workflows.photo_arguments import BUILTIN
from edgenet.workflows.train import TrainingOptions, train

# The network that is trained on digits.
TRAINED = "mobilenet_v1_0.25_32"
FOLDER = "digits"
# The moving average of the weights spans only 50 steps, because there are only about 250. No flips, because a
# mirrored digit is a different sign.
RECIPE = TrainingOptions(epochs=6, batch=32, ema_decay=0.98, crop_scale=0.6, no_flip=True, device="cpu")
# The fastest recipe; the demo prints the accuracy that it costs.
QUANTIZATION = "minmax"
VARIANT = "mobilenet_v2_1.0_224"
# A demo should not keep its viewer waiting: the default recipe takes four times as long, for a point of agreement.
IMAGENET_RECIPE, IMAGENET_PHOTOS = "fast", 32
# Each shows another thing, one that ImageNet has a class for. They fill one contact sheet.
SHOWN = (
    "0022_tabby-cat",
    "0023_espresso",
    "0035_pekinese",
    "0048_space-shuttle",
    "0056_sea-cliff",
    "0002_church",
    "0054_samoyed-lying",
    "0067_paintbrushes",
    "0101_hay-field",
    "0085_the-movies-inside",
    "0061_mountain-meadow",
    "0086_beach-malibu",
)
CAMERA_FRAMES = 30
VIDEO_EVERY = 5
STEPS = 5


@dataclass(frozen=True)
class DigitsDemo:
    """What was trained, and its accuracy on `n` digits that were not used for training.

    Attributes:
        training_s: wall time of the training alone, seconds.
        float_top1, int8_top1: top-1 accuracy on the same `n` digits, percent.
        files: paths of the checkpoint, the int8 file and the bundle.
    """

    training_photos: int
    epochs: int
    training_s: float
    n: int
    float_top1: float
    int8_top1: float
    files: tuple[str, ...]


@dataclass(frozen=True)
class Demo:
    """The result of `demo`.

    Attributes:
        digits: the trained digits network and its accuracy.
        labels: best label of the video's frames, with the number of frames, the most frequent label first.
        camera: the camera that was used; None if no camera gives pictures.
        inference_p50_ms: median inference time with one thread, from the latency report, milliseconds.
        valid: whether the latency report is valid; `reasons` says why not.
        files: every model, bundle, report and picture that was written; the photos with their labels are last.
    """

    digits: DigitsDemo
    labels: dict[str, int]
    camera: str | None
    inference_p50_ms: float
    valid: bool
    reasons: tuple[str, ...]
    files: tuple[str, ...]


@checked
def demo(out: str | Path = "edgenet-demo", *, progress: Progress = silent, log: Log = no_log) -> Demo:
    """Train and quantize V1 on digits; convert V2 with ImageNet weights and run the device scripts on it.

    >>> edgenet.demo(log=print)  # doctest: +SKIP

    Args:
        out: folder for everything that the demo writes; made if missing.
        progress: called with each stage's name, the amount done, and the total.
        log: called with a line before and after each step.

    Raises:
        EdgenetError: `out` cannot be made, the weights cannot be found or downloaded, or a device script
            fails.
        TypeError: an argument has the wrong type.
    """
    return _demo(Path(out), progress, log)


def _demo(out: Path, progress: Progress, log: Log) -> Demo:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(
            f"cannot make the folder {out}: {error.strerror}", "give another one with --out"
        ) from None
    log(
        f"[1/{STEPS}] training: {TRAINED} learns the handwritten digits that come with edgenet, and becomes int8"
    )
    digits = digits_demo(out, progress)
    log(f"      {_trained(digits)}")
    log(f"      packed into {digits.files[-1]}")
    model, bundle, report = out / f"{VARIANT}.tflite", out / f"{VARIANT}.edgenet", out / "latency.json"
    log(
        f"[2/{STEPS}] converting: {VARIANT} with ImageNet weights becomes int8 "
        f"(recipe {IMAGENET_RECIPE}, {IMAGENET_PHOTOS} photos)"
    )
    converted = convert(
        VARIANT,
        model,
        calibration=BUILTIN,
        recipe=IMAGENET_RECIPE,
        photos=IMAGENET_PHOTOS,
        progress=progress,
    )
    log(f"      {_conversion_text(converted)}")
    package(model, bundle)
    log(f"[3/{STEPS}] packing: the model, its labels and checksums in one file, {bundle}")
    photos, picture = out / "photos", out / "photos.png"
    _copy_shown_photos(photos)
    log(
        f"[4/{STEPS}] classifying photos and a video, as a device does: {_command('classify', bundle, photos)}"
    )
    seen = _classify(bundle, str(photos), ["--contact-sheet", str(picture)])
    log(f"      {len(_frames(seen))} photos, with their labels in {picture}")
    frames = _classify(bundle, str(clip()), ["--every", str(VIDEO_EVERY)])
    log(f"      {near(clip())}: {_summary(frames)}")
    camera = _look_through_camera(bundle, out / "camera.png", log)
    log(f"[5/{STEPS}] measuring latency, one thread: {_command('measure_latency', bundle)}")
    latency = _measure(bundle, report)
    pictures = [out / "camera.png", picture] if camera else [picture]
    return Demo(
        digits=digits,
        labels=_counted(frames),
        camera=camera,
        inference_p50_ms=latency["steady_state"]["p50_ms"],
        valid=latency["valid"],
        reasons=tuple(latency["reasons"]),
        files=tuple(str(path) for path in (*digits.files, model, bundle, report, *pictures)),
    )


def near(path: Path) -> Path:
    """Return a path inside the current folder relative to that folder; any other path unchanged."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def first_camera() -> str | None:
    """Return the video device with the lowest number, or None if there is no video device."""
    cameras = [path for path in Path("/dev").glob("video*") if path.name.removeprefix("video").isdecimal()]
    return str(min(cameras, key=lambda path: int(path.name.removeprefix("video")))) if cameras else None


def _look_through_camera(bundle: Path, picture: Path, log: Log) -> str | None:
    """Classify some frames of the first camera; return its path, or None if no camera gives pictures."""
    camera = first_camera()
    if camera is None:
        log("      no camera is attached; with one, the demo classifies its pictures too")
        return None
    try:
        options = ["--frames", str(CAMERA_FRAMES), "--contact-sheet", str(picture)]
        frames = _classify(bundle, camera, options)
    except EdgenetError as error:  # not every video device is a camera: a Raspberry Pi's decoders are not
        log(f"      {camera} gives no pictures: {error.found}")
        return None
    log(f"      camera {camera}: {_summary(frames)}")
    return camera


def _command(script: str, *arguments: Path) -> str:
    return f"python device_scripts/{script}.py {' '.join(map(str, arguments))}"


def _trained(digits: DigitsDemo) -> str:
    return (
        f"{digits.training_photos} digits, {digits.epochs} epochs in {digits.training_s:.1f} s; "
        f"top-1 on {digits.n} others: float {digits.float_top1:.2f} %, int8 {digits.int8_top1:.2f} %"
    )


def _conversion_text(converted: Conversion) -> str:
    seconds = sum(converted.seconds.values())
    return f"{converted.bytes / 1e6:.1f} MB, {converted.operators} operators, in {seconds:.1f} s"


def _copy_shown_photos(folder: Path) -> None:
    """Put the photos of `SHOWN` into a folder; whatever else is there stays.

    Raises:
        EdgenetError: the folder cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        for name in SHOWN:
            shutil.copyfile(calibration_photos() / f"{name}.jpg", folder / f"{name}.jpg")
    except OSError as error:
        raise EdgenetError(
            f"cannot write into the folder {folder}: {error.strerror}", "give another one with --out"
        ) from None


def _classify(bundle: Path, source: str, options: list[str]) -> list[dict[str, Any]]:
    arguments = [str(bundle), source, "--json", *options]
    return [read_json(line) for line in device_script("classify", arguments).splitlines()]


def _measure(bundle: Path, report: Path) -> dict[str, Any]:
    device_script("measure_latency", [str(bundle), "--out", str(report)])
    measured: dict[str, Any] = read_json(report.read_bytes())
    return measured


def _counted(lines: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in _frames(lines):
        label = line["top"][0]["label"]
        counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _frames(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["type"] == "frame"]


def _summary(lines: list[dict[str, Any]]) -> str:
    counts = _counted(lines)
    total = sum(counts.values())
    named = ", ".join(f"{label} ({count} of {total} frames)" for label, count in list(counts.items())[:3])
    return f"{named}; {lines[-1]['sum_of_p50_ms']:.1f} ms a frame"


def digits_demo(out: Path, progress: Progress = silent) -> DigitsDemo:
    """Train, quantize, evaluate and pack a network; train afresh even if an earlier demo left a training.

    Args:
        out: an existing folder; the photos and the training go into its subfolder `digits`.

    Raises:
        EdgenetError: the folder cannot be written.
    """
    folder = out / FOLDER
    run = folder / "training"
    photos = _photos(folder)
    (run / STATE_FILE).unlink(missing_ok=True)
    with _one_torch_thread():
        trained = train(TRAINED, photos, run, options=RECIPE, progress=progress)
    assert trained is not None  # `train` returns None only in the other processes of a torchrun
    model, bundle = folder / f"{TRAINED}.tflite", folder / f"{TRAINED}.edgenet"
    convert(trained.out, model, calibration=photos / "train", recipe=QUANTIZATION, progress=progress)
    evaluation = evaluate([trained.out, model], photos, split="test", progress=progress)
    package(model, bundle)
    return DigitsDemo(
        training_photos=trained.training_photos,
        epochs=len(trained.epochs),
        training_s=trained.seconds,
        n=evaluation.n,
        float_top1=evaluation.models[0].top1,
        int8_top1=evaluation.models[1].top1,
        files=(trained.out, str(model), str(bundle)),
    )


def _photos(folder: Path) -> Path:
    """Write the digits as photos in class folders; return their folder.

    Raises:
        EdgenetError: the folder cannot be written, or it holds somebody's own files, which stay as they are.
    """
    photos = folder / "photos"
    try:
        written = set(write_digits(photos))
    except OSError as error:
        raise EdgenetError(
            f"cannot write into the folder {folder}: {error.strerror}", "give another one with --out"
        ) from None
    others = sorted(path for path in photos.rglob("*") if path.is_file() and path not in written)
    if others:
        raise EdgenetError(
            f"the folder {photos} holds a file that the demo did not write: {others[0].relative_to(photos)}",
            "move it away, or give another folder with --out",
        )
    return photos


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Run torch with one thread: the layers are so small that several would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def device_script(name: str, arguments: Sequence[str]) -> str:
    """Run `device_scripts/NAME.py` on this machine, as on a device, in its own process; return what it printed.

    Raises:
        EdgenetError: the script failed; the message ends with its last line of output to stderr.
    """
    done = subprocess.run(
        [sys.executable, str(device_scripts() / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it printed no reason"])[-1]
        raise EdgenetError(f"device_scripts/{name}.py failed: {reason}")
    return done.stdout
