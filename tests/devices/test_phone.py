"""A phone behind adb: the virtual one, with the real adbd, mksh and toybox.

adbd, and the Python that edgenet brings, are arm64 programs under emulation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from phone_parts import heating_dumpsys, two_clusters, vendor_programs
from PIL import Image
from score_parity import LAST_BITS, SCORES, integers_are_equal, logit_step, save_pixels
from small_network import LABELS, PHOTOS, save_small_checkpoint
from virtual_devices import Inside, running_phone

from edgenet.bundle import write_bundle
from edgenet.devices.phone_pack import opencv_wheels, pack_files, pack_wheels
from edgenet.errors import EdgenetError
from edgenet.manifest import Facts, Weights
from edgenet.progress import silent
from edgenet.workflows.convert import convert
from edgenet.zoo.weights import cache_folder

ROOT = Path(__file__).resolve().parents[2]

# Everything that `Device` promises, on the phone; it prints nothing if all of it holds.
EXCHANGE = """
from edgenet.devices.targets import open_device
from edgenet.errors import EdgenetError

every_byte = bytes(range(256)) * 10_000
with open_device("adb") as phone:
    assert phone.facts().machine == "aarch64", phone.facts()
    assert phone.facts().system == "Android 14", phone.facts()
    done = phone.run(["sh", "-c", "printf 'a\\\\0b'; echo no >&2; exit 7"])
    assert (done.status, done.out, done.err) == (7, b"a\\0b", b"no\\n"), done
    assert phone.run(["sh", "-c", "kill -9 $$"]).status == 137
    assert phone.run(["echo", "a  b", "$HOME;'x\\"*"]).out == b"a  b $HOME;'x\\"*\\n"
    values = phone.run(["sh", "-c", "printf '%s|' \\"$@\\"", "sh", "it's", "a  b", "$HOME", "two\\nlines"])
    assert values.out == b"it's|a  b|$HOME|two\\nlines|", values
    assert phone.run(["cat"], stdin=every_byte).out == every_byte
    seen = []
    phone.push(
        {"bin/hello": b"#!/system/bin/sh\\necho hello\\n", "in/all": every_byte},
        f"{phone.home}/files",
        lambda stage, done, total: seen.append((done, total)),
    )
    assert seen[0][0] == 0 and seen[-1][0] == seen[-1][1] > len(every_byte), seen[-1]
    assert phone.pull(f"{phone.home}/files/in/all") == every_byte
    assert phone.run([f"{phone.home}/files/bin/hello"]).out == b"hello\\n"
    with phone.start(["sh", "-c", "trap 'echo ended; exit' TERM; echo up; while :; do sleep 0.1; done"]) as running:
        assert next(iter(running.lines())) == "up"
        running.stop()
        assert running.finish().out == b"ended\\n"
    for refused in (
        lambda: phone.run(["sleep", "60"], timeout_s=0.3),
        lambda: phone.push({"x": b""}, "/system/x"),
        lambda: phone.push({"first": every_byte, "in": every_byte, "last": every_byte}, f"{phone.home}/files"),
        lambda: phone.pull("/none"),
    ):
        try:
            refused()
        except EdgenetError as error:
            print(error)
        else:
            raise AssertionError(refused)
    phone.run(["rm", "-r", phone.home])
"""


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A phone with two clusters of CPUs; yields a function that runs a command beside it, where its adb server is."""
    vendor = vendor_programs(tmp_path_factory.mktemp("vendor"), dumpsys=heating_dumpsys(8))
    cpufreq = two_clusters(tmp_path_factory.mktemp("cpufreq"))
    with running_phone(PHONE_VENDOR=str(vendor), PHONE_CPUFREQ=str(cpufreq)) as inside:
        yield inside


@pytest.mark.slow
def test_phone_keeps_every_promise_of_a_device(phone: Inside) -> None:
    done = phone(sys.executable, "-c", EXCHANGE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "sleep did not end within 0.3 s on adb; check what keeps the device busy",
        "cannot make /system/x on adb: mkdir: '/system/x': Read-only file system; "
        "check who owns the folder on the device",
        "cannot copy in to adb: couldn't create file: Is a directory; run the same command again",
        "cannot read /none on adb: cat: /none: No such file or directory",
    ]


OPEN = "from edgenet.devices.targets import open_device\nwith open_device('{}'): pass"


@pytest.mark.slow
def test_of_several_phones_one_must_be_named(phone: Inside) -> None:
    # The kit's adb server knows its phone by two serials.
    done = phone("env", "-u", "ANDROID_SERIAL", sys.executable, "-c", OPEN.format("adb"))
    last = done.stderr.splitlines()[-1]
    assert "2 devices are attached" in last
    assert "adb:127.0.0.1:5555 (device)" in last
    assert "adb:emulator-5554 (device)" in last
    assert phone(sys.executable, "-c", OPEN.format("adb:emulator-5554")).returncode == 0


@pytest.mark.slow
def test_unknown_phone_and_no_adb_say_what_to_do(phone: Inside) -> None:
    unknown = phone(sys.executable, "-c", OPEN.format("adb:NONE"))
    assert "adb finds no device NONE; plug the phone in" in unknown.stderr.splitlines()[-1]
    no_adb = phone(
        "env", "PATH=/nowhere", "ANDROID_ADB_SERVER_PORT=1", sys.executable, "-c", OPEN.format("adb")
    )
    assert "the adb program is not installed; install adb" in no_adb.stderr.splitlines()[-1]


@pytest.mark.slow
def test_cable_pulled_while_a_program_runs(phone: Inside) -> None:
    text = """
import os, subprocess
from edgenet.devices.targets import open_device
with open_device("adb") as phone, phone.start(["sleep", "600"]) as running:
    subprocess.run(["adb", "disconnect", os.environ["ANDROID_SERIAL"]], check=True, capture_output=True)
    running.finish()
"""
    done = phone(sys.executable, "-c", text)
    phone("adb", "connect", "127.0.0.1:5555")
    assert done.stderr.splitlines()[-1].endswith(
        "the connection to adb is lost; check the cable, then run the same command again"
    )


# A phone from its first release on: brought by a measurement, then deployed. It prints nothing if everything holds.
DEPLOYS = """
import os, signal, subprocess, sys
from pathlib import Path
from edgenet.devices.install import install_release
from edgenet.bundle import write_bundle
from edgenet.devices.phone_pack import needed_packages
from edgenet.devices.wheels import OPENCV
from edgenet.devices.targets import open_device
from edgenet.workflows.bench import bench
from edgenet.workflows.deploy import deploy, rollback

first, second, pixels, program, photos, scores, read, classified = map(Path, sys.argv[1:])

def killed(stage, done, total):
    if stage == "copy" and done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

child = os.fork()
if not child:
    deploy(first, "adb", progress=killed)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
with open_device("adb") as phone:
    placed = install_release(first, phone)  # as bench does
assert placed.copied and placed.environment.made == needed_packages().packages, placed
one = deploy(first, "adb")
assert (one.release, one.moved, one.swapped) == (placed.release, False, True), one
assert one.packages == (OPENCV,), one
again = deploy(first, "adb")
assert (again.release, again.moved, again.swapped, again.packages) == (one.release, False, False, ()), again
two = deploy(second, "adb")
assert (two.moved, two.previous, two.packages) == (True, one.release, ()), two
assert rollback("adb").release == one.release
(report,) = bench(first, on="adb", settle=0).reports
assert report["steady_state"]["n"] >= 50, report
assert report["device"]["os"] == "Android 14", report["device"]
assert report["route"] == "device_scripts"
assert report["affinity"] == [1], report["affinity"]  # the fast cluster
# Its dumpsys says that it gets hot meanwhile.
statuses = [report["throttling"][when]["status"] for when in ("before", "after")]
assert statuses == ["none", "severe"], report["throttling"]
looks = [look["throttled"] for look in report["during"]]
assert looks[0] == [] and looks[-1] == ["thermal status severe"], looks
assert "throttled: thermal status severe" in report["reasons"], report["reasons"]
assert report["temperature_celsius"]["after"]["CPU0"] == 41.3, report["temperature_celsius"]
with open_device("adb") as phone:
    placed = install_release(first, phone)
    assert not placed.copied
    folder = f"{phone.home}/parity"
    phone.push({"pixels.npy": pixels, "scores.py": program}, folder)
    # The standard library's byte code and the models that have run are kept; numpy's tests never came.
    looked = ["modules/__pycache__/argparse.cpython-311.pyc", "modules/numpy/tests", "cache/tried"]
    kept = phone.run(["sh", "-c", 'cd "$1"/environments/* && shift && ls -d "$@"', "sh", phone.home, *looked])
    assert kept.out.decode().split() == [looked[2], looked[0]], kept
    installed = placed.installed
    subprocess.run(["adb", "push", photos, "/sdcard/DCIM"], check=True, capture_output=True)
    given = [installed.bundle, f"{folder}/pixels.npy", f"{folder}/scores.npy", "/sdcard/DCIM", f"{folder}/read.npy"]
    done = phone.run([*installed.python, f"{folder}/scores.py", *given])
    assert done.status == 0, done
    scores.write_bytes(phone.pull(f"{folder}/scores.npy"))
    read.write_bytes(phone.pull(f"{folder}/read.npy"))
words = ["sh", f"{installed.release}/../../current/classify.sh", "/sdcard/DCIM", "--json", "--top", "5"]
done = subprocess.run(["adb", "shell", *words], capture_output=True)
assert (done.returncode, done.stderr) == (0, b""), done
classified.write_bytes(done.stdout)
"""

# What the phone itself makes of its photos: scores.py ... PHOTOS READ.npy
READ = """
from edgenet_device.frames.photos import list_photos, read_photo
from edgenet_device.preprocess import prepare

np.save(sys.argv[5], [prepare(read_photo(photo), classifier.size) for photo in list_photos(sys.argv[4])])
"""


def save_two_photos(folder: Path) -> Path:
    """Save a small photo, and one as of a phone's camera: so large that it is decoded at 1/2, and marked as turned."""
    folder.mkdir()
    with Image.open(min(PHOTOS.glob("*.jpg"))) as photo:
        photo.save(folder / "plain.jpg", quality=90)
        turned = Image.Exif()
        turned[0x112] = 6
        photo.resize((2730, 2048)).save(folder / "turned.jpg", quality=90, exif=turned)
    return folder


def scores_by_photo(printed: str) -> tuple[list[str], np.ndarray]:
    """Return the photos' names and their scores, [photos, classes], of what classify.py --json has printed."""
    frames = [json.loads(line) for line in printed.splitlines()]
    frames = [frame for frame in frames if frame["type"] == "frame"]
    tops = [sorted(frame["top"], key=lambda one: one["index"]) for frame in frames]
    return [frame["name"] for frame in frames], np.array([[one["score"] for one in top] for top in tops])


@pytest.mark.slow
def test_the_pack_from_the_first_deploy_to_equal_scores(phone: Inside, tmp_path: Path) -> None:
    try:  # the phone's network namespace leads nowhere else
        pack_files(silent)
        pack_wheels(silent)
        opencv_wheels(silent)
    except EdgenetError as error:
        pytest.skip(f"the pack cannot be downloaded: {error}")
    checkpoint = save_small_checkpoint(tmp_path / "small.safetensors")
    convert(str(checkpoint), tmp_path / "first.tflite", calibration=PHOTOS, photos=16, recipe="minmax")
    facts = Facts("small", Weights("made for a test", "Apache-2.0"))
    write_bundle(tmp_path / "second.edgenet", (tmp_path / "first.tflite").read_bytes(), list(LABELS), facts)
    save_pixels(tmp_path / "pixels.npy", tmp_path / "first.tflite", sorted(PHOTOS.glob("*.jpg")))
    (tmp_path / "scores.py").write_text(SCORES + READ)
    photos = save_two_photos(tmp_path / "photos")
    given = ("first.tflite", "second.edgenet", "pixels.npy", "scores.py", "photos")
    files = [tmp_path / name for name in (*given, "there.npy", "read.npy", "classified.jsonl")]
    done = phone(sys.executable, "-c", DEPLOYS, *map(str, files), EDGENET_CACHE=str(cache_folder()))
    assert done.returncode == 0, done.stderr
    here = [files[3], files[0], files[2], tmp_path / "here.npy", photos, tmp_path / "read-here.npy"]
    subprocess.run([sys.executable, *here], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    found, expected = np.load(tmp_path / "there.npy"), np.load(tmp_path / "here.npy")
    assert len(found) >= 100
    assert logit_step(files[0]) > 10 * LAST_BITS
    assert integers_are_equal(found, expected)
    assert np.array_equal(np.load(tmp_path / "read.npy"), np.load(tmp_path / "read-here.npy"))
    command = [ROOT / "device_scripts" / "classify.py", files[0], photos, "--json", "--top", "5"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    there, same = map(scores_by_photo, ((tmp_path / "classified.jsonl").read_text(), done.stdout))
    assert there[0] == same[0] == ["plain.jpg", "turned.jpg"]
    assert integers_are_equal(there[1], same[1])
