"""A phone's own browser: the page comes through adb, is opened there, and sends its latency back.

The phone is the virtual one, with the real adbd; the browser a real Chromium in the phone's network, where it reaches
nothing but what adbd leads there. Android's `am`, which the virtual phone has not, is a stand-in that keeps its
arguments.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from phone_parts import vendor_programs
from virtual_devices import COLOURS, Inside, running_phone

pytestmark = pytest.mark.slow
GIVEN = "/data/local/tmp/am.given"
AM = f"""
printf '%s\\n' "$@" >{GIVEN}
[ ! -e {GIVEN}.no ] || echo "Error: Activity not started, unable to resolve Intent {{ act=android.intent.action.VIEW }}"
"""

# Opens the page that the command says, as a person would, sees a label, measures, and ends the command with Ctrl-C.
WATCHES = """
import os, re, signal, subprocess, sys
from playwright.sync_api import expect, sync_playwright

chromium, film, presses, *command = sys.argv[1:]
flags = ["--no-sandbox", "--disable-dev-shm-usage", "--use-fake-device-for-media-stream"]
flags += ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={film}"]
shown = subprocess.Popen([sys.executable, "-m", "edgenet", *command], stderr=subprocess.PIPE, text=True)
for line in shown.stderr:
    print(line, end="", flush=True)
    if found := re.search(r"page on adb: (http://127[.]0[.]0[.]1:[0-9]+/)", line):
        break
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=flags)
    page = browser.new_page()
    page.goto(found[1])
    if presses == "measure":
        expect(page.locator("#answer")).to_have_text("red", timeout=120_000)
        print("label: red", flush=True)
        print(subprocess.run(["adb", "reverse", "--list"], capture_output=True, text=True).stdout, flush=True)
        page.locator("#measure").click()
        while not os.path.exists(command[-1]):
            assert shown.poll() is None
            page.wait_for_timeout(200)
        shown.send_signal(signal.SIGINT)
    print("status:", shown.wait(300), flush=True)
    browser.close()
print("left:", subprocess.run(["adb", "reverse", "--list"], capture_output=True, text=True).stdout.split())
"""


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A phone with the stand-in for `am`."""
    vendor = vendor_programs(tmp_path_factory.mktemp("vendor"), am=AM)
    with running_phone(PHONE_VENDOR=str(vendor)) as inside:
        yield inside


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium's camera plays: red."""
    path = tmp_path_factory.mktemp("film") / "red.mjpeg"
    path.write_bytes(cv2.imencode(".jpg", np.full((480, 640, 3), COLOURS["red"], np.uint8))[1].tobytes() * 30)
    return path


def chromium() -> str:
    """The system's Chromium."""
    pytest.importorskip("playwright", reason="the package playwright is not installed (make setup)")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    return program


def test_the_phones_browser_sees_and_measures(
    phone: Inside, colours: Path, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    command = ["camera", str(colours), "--on", "adb", "--out", str(out)]
    done = phone(sys.executable, "-c", WATCHES, chromium(), str(film), "measure", *command)
    assert done.returncode == 0, done.stderr
    page, label, way, *rest = done.stdout.splitlines()
    address = page.removeprefix("page on adb: ")
    assert label == "label: red"
    assert f"tcp:{address.rsplit(':')[-1].rstrip('/')} tcp:" in way
    assert rest[-2:] == ["status: 0", "left: []"]
    given = phone("adb", "shell", "cat", GIVEN).stdout.splitlines()
    assert given == ["start", "-a", "android.intent.action.VIEW", "-d", address]
    report = json.loads(out.read_text())
    assert report["route"] == "browser"
    assert report["device"]["model"] == "virtual-phone"
    assert report["device"]["os"] == "Android 14"
    assert report["device"]["machine"] == "aarch64"
    assert report["device"]["browser"].startswith("Chromium")


def test_bench_measures_in_the_phones_browser(
    phone: Inside, colours: Path, film: Path, tmp_path: Path
) -> None:
    command = ["bench", str(colours), "--on", "adb", "--browser", "--out", str(tmp_path)]
    done = phone(sys.executable, "-c", WATCHES, chromium(), str(film), "nothing", *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["status: 0", "left: []"]
    report = json.loads((tmp_path / f"{colours.stem}.on-adb.json").read_text())
    assert (report["target"], report["route"], report["device"]["os"]) == ("adb", "browser", "Android 14")
    assert report["steady_state"]["n"] >= 50


def test_a_phone_without_a_browser_and_a_pulled_cable(phone: Inside, colours: Path) -> None:
    text = """
import os, signal, subprocess, sys
shown = subprocess.Popen([sys.executable, "-m", "edgenet", *sys.argv[1:]], stderr=subprocess.PIPE, text=True)
print(shown.stderr.readline(), shown.stderr.readline(), sep="", end="")
subprocess.run(["adb", "disconnect", os.environ["ANDROID_SERIAL"]], check=True, capture_output=True)
print(shown.stderr.read(), "status:", shown.wait(300))
"""
    phone("adb", "shell", "touch", f"{GIVEN}.no")
    done = phone(sys.executable, "-c", text, "camera", str(colours), "--on", "adb")
    phone("adb", "connect", "127.0.0.1:5555")
    phone("adb", "shell", "rm", f"{GIVEN}.no")
    assert "Traceback" not in done.stdout
    _, note, lost, status = done.stdout.splitlines()
    assert note.startswith(
        "note: adb cannot open a page by itself (Error: Activity not started, unable to resolve Intent"
    )
    assert note.endswith("open that address in the phone's browser")
    assert "the connection to adb is lost; see that the cable sits, then do the same again" in lost
    assert status.split()[-1] == "1"
