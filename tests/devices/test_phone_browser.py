"""A phone's own browser: the page comes through adb, is opened there, and sends its latency back.

The phone is the virtual one, with the real adbd; the browser a real Chromium in the phone's network, where it reaches
only what adbd leads there. Android's `am`, which the virtual phone lacks, is a stand-in that records its arguments, as
is `dumpsys`, which reports a hot phone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from phone_parts import dumpsys, vendor_programs
from system_chromium import NAMES, chromium_program
from virtual_devices import COLOURS, Inside, running_phone

pytestmark = pytest.mark.slow
GIVEN = "/data/local/tmp/am.given"
AM = f"""
printf '%s\\n' "$@" >{GIVEN}
[ ! -e {GIVEN}.no ] || echo "Error: Activity not started, unable to resolve Intent {{ act=android.intent.action.VIEW }}"
"""

# Opens the page that the command says, as a person would, sees a label, measures, and ends the command with Ctrl-C.
# Then the page has no server any more, and is opened from the copy that it keeps.
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
        expect(page.locator("#kept")).to_contain_text("A copy is kept", timeout=120_000)
        shown.send_signal(signal.SIGINT)
    print("status:", shown.wait(300), flush=True)
    if presses == "measure":
        page.reload()
        expect(page.locator("#answer")).to_have_text("red", timeout=120_000)
        print("label: red", flush=True)
    browser.close()
print("left:", subprocess.run(["adb", "reverse", "--list"], capture_output=True, text=True).stdout.split())
"""


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A hot phone with the stand-in for `am`."""
    vendor = vendor_programs(tmp_path_factory.mktemp("vendor"), am=AM, dumpsys=dumpsys(3))
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
    pytest.importorskip("playwright", reason="the package playwright is not installed (make setup-dev)")
    return chromium_program()


def test_the_phones_browser_sees_and_measures(
    phone: Inside, colours: Path, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    command = ["camera", str(colours), "--on", "adb", "--out", str(out)]
    done = phone(sys.executable, "-c", WATCHES, chromium(), str(film), "measure", *command)
    assert done.returncode == 0, done.stderr
    page, label, way, *rest = done.stdout.splitlines()
    address = page.removeprefix("page on adb: ")
    assert address == "http://127.0.0.1:8377/"  # always the same, for the copy that is kept there
    assert label == "label: red"
    assert f"tcp:{address.rsplit(':')[-1].rstrip('/')} tcp:" in way
    assert rest[-3:] == ["status: 0", "label: red", "left: []"]
    given = phone("adb", "shell", "cat", GIVEN).stdout.splitlines()
    assert given == ["start", "-a", "android.intent.action.VIEW", "-d", address]
    report = json.loads(out.read_text())
    assert (report["target"], report["route"]) == ("adb", "browser")
    device = {name: report["device"][name] for name in ("model", "soc", "os", "machine")}
    assert device == {
        "model": "edgenet virtual-phone",
        "soc": "virtual",
        "os": "Android 14",
        "machine": "aarch64",
    }
    assert report["device"]["browser"].startswith(NAMES)
    assert [report["temperature_celsius"][when]["CPU0"] for when in ("before", "after")] == [41.3, 41.3]
    assert "throttled: thermal status severe" in report["reasons"]


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
    assert report["throttling"]["after"]["status"] == "severe"


# Starts the command, reads the two lines that say where the page is, and pulls the cable.
PULLED = """
import os, subprocess, sys
shown = subprocess.Popen([sys.executable, "-m", "edgenet", *sys.argv[1:]], stderr=subprocess.PIPE, text=True)
print(shown.stderr.readline(), shown.stderr.readline(), sep="", end="")
subprocess.run(["adb", "disconnect", os.environ["ANDROID_SERIAL"]], check=True, capture_output=True)
print(shown.stderr.read(), "status:", shown.wait(300))
"""


def says_what_to_do(phone: Inside, *command: str) -> str:
    """Why no page was opened there, once the rest of what the command says is as it must be."""
    done = phone(sys.executable, "-c", PULLED, *command)
    phone("adb", "connect", "127.0.0.1:5555")
    assert "Traceback" not in done.stdout
    page, note, lost, status = done.stdout.splitlines()
    assert page.startswith("page on adb: http://127.0.0.1:")
    assert "the connection to adb is lost; check the cable, then run the same command again" in lost
    assert status.split()[-1] == "1"
    assert phone("adb", "reverse", "--list").stdout.strip() == ""
    assert note.endswith("); open that address in the phone's browser")
    return note.removeprefix("note: adb cannot open a page by itself (")


def test_a_phone_without_a_browser_and_a_pulled_cable(phone: Inside, colours: Path) -> None:
    phone("adb", "shell", "touch", f"{GIVEN}.no")
    reason = says_what_to_do(phone, "camera", str(colours), "--on", "adb")
    phone("adb", "shell", "rm", f"{GIVEN}.no")
    assert reason.startswith("Error: Activity not started, unable to resolve Intent")


def test_a_phone_without_am_and_a_cable_pulled_while_it_should_measure(colours: Path) -> None:
    with running_phone() as bare:
        assert "am: " in says_what_to_do(bare, "bench", str(colours), "--on", "adb", "--browser")
