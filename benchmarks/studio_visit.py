"""What a newcomer does in the studio, clicked in Chromium: collect two things with a fake camera, teach, try.

The end-to-end test of the studio makes the same visit (tests/browser/test_studio_page.py).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from edgenet_device.frames.photos import read_photo
from playwright.sync_api import Locator, Page, expect

from edgenet.assets import calibration_photos

TAUGHT = {
    "dog": ("0054_samoyed-lying", "0055_samoyeds-on-grass"),
    "tulip": ("0006_garden-tulips", "0007_yellow-tulips"),
}
"""The photos at which the camera looks while each class is collected, one scene each."""
JUDGED = {
    "dog": "0050_samoyeds-on-hill",
    "tulip": "0057_pink-tulips",
    "nothing I know": "0001_paris-building",
}
"""Other photos, and what the classifier must say of each."""
_TEACHING_MS = 240_000


@contextmanager
def running_studio(folder: Path, *options: str) -> Iterator[str]:
    """Run `edgenet studio` on a folder, and yield the page's address."""
    command = [
        sys.executable,
        "-m",
        "edgenet",
        "studio",
        str(folder),
        "--port",
        "0",
        "--no-browser",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()
            process.wait(30)


def known_photo(name: str) -> Path:
    """Return the path of one of the photos that come with edgenet."""
    return calibration_photos() / f"{name}.jpg"


@dataclass(frozen=True)
class FakeCamera:
    """A file that Chromium plays as its camera, and reads anew each time a page opens the camera.

    Attributes:
        film: the file; its name ends in .y4m.
        fps: frames in a second.
    """

    film: Path
    fps: int = 30

    @property
    def flags(self) -> tuple[str, ...]:
        """Chromium's options."""
        return (
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={self.film}",
        )

    def shows(self, name: str) -> None:
        """Let the camera pan over a photo, in an endless loop; no two frames are equal."""
        steps = [*range(0, 96, 4), *range(96, 0, -4)]
        pixels = cv2.resize(read_photo(known_photo(name)), (420, 320))
        frames = [pixels[step // 2 : step // 2 + 240, step : step + 320] for step in steps]
        yuv = [cv2.cvtColor(np.ascontiguousarray(one), cv2.COLOR_BGR2YUV_I420).tobytes() for one in frames]
        head = f"YUV4MPEG2 W320 H240 F{self.fps}:1 Ip A1:1 C420\n".encode()
        other = self.film.with_suffix(".new")
        other.write_bytes(head + b"".join(b"FRAME\n" + one for one in yuv))
        other.replace(self.film)


class Newcomer:
    """A person at the page who clicks what is there to click.

    Args:
        pause_ms: how long the person looks for what to click next, each time.

    Attributes:
        clicks: how often the person has clicked, pressed or ticked something.
    """

    def __init__(self, page: Page, camera: FakeCamera, pause_ms: int = 0) -> None:
        self.page, self._camera, self._pause_ms = page, camera, pause_ms
        self.clicks = 0

    def click(self, what: Locator | str) -> None:
        """Look for a button (by its name) or for something else, and click it."""
        found = self.page.get_by_role("button", name=what, exact=True) if isinstance(what, str) else what
        self.page.wait_for_timeout(self._pause_ms)
        found.click()
        self.clicks += 1

    def go(self, step: str) -> None:
        """Click a step in the head of the page."""
        self.click(self.page.get_by_role("link", name=step))

    def collect(self) -> None:
        """Collect the classes with the camera, each in two places."""
        for label, (first, second) in TAUGHT.items():
            self.click("Add a class")
            self.page.get_by_label("Name of the class").press_sequentially(label, delay=self._pause_ms / 5)
            self._camera.shows(first)
            self.click("Add")
            self._hold_the_button()
            self.click("Camera off")
            self._camera.shows(second)
            self.click(self.page.get_by_role("button", name="Camera", exact=True))
            self._hold_the_button()
            self.click(self.page.get_by_role("button", name="All classes"))
            expect(self.page.locator(f"article[data-label={label}] img")).not_to_have_count(0)

    def _hold_the_button(self) -> None:
        hold = self.page.locator("#hold")
        expect(hold).to_be_enabled()
        self.page.wait_for_timeout(self._pause_ms)
        hold.hover()
        self.page.mouse.down()
        self.clicks += 1
        # On a busy machine the numbers jump.
        expect(self.page.locator(".camera [role=status]")).to_have_text(
            re.compile(r"^([6-9]|[1-9]\d+) photos taken")
        )
        self.page.mouse.up()

    def teach_quickly(self) -> None:
        """Teach the quick classifier alone, and wait until it is done."""
        self.click("Next: teach")
        self.click(self.page.get_by_text("Options"))
        self.click(self.page.get_by_label("Only the quick classifier"))
        self.click("Teach")
        expect(self.page.locator("#teach-state")).to_have_text("Done", timeout=_TEACHING_MS)

    def teach(self) -> None:
        """Press the one button, and go on to Try as soon as the first classifier is there; the teaching goes on."""
        self.click("Next: teach")
        self.click("Teach")
        try_it = self.page.get_by_role("button", name="Try it", exact=True)
        try_it.wait_for(timeout=_TEACHING_MS)
        self.click(try_it)

    def sees(self, label: str) -> None:
        """Hold what belongs to a label before the camera in the step Try, and wait until it is named."""
        self.go("Collect")
        self._camera.shows(JUDGED[label])
        self.go("Try")
        expect(self.page.locator("#try-answer")).to_have_text(label)
