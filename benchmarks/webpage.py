"""Is the browser's page fast? Its first label, its frames per second, and its inference beside a bare LiteRT.js loop.

    .venv/bin/python -m benchmarks.webpage

It uses the Chromium of this machine without a window, with a fake camera that plays photos at 30 frames a second:
- first label: from opening the page of V2 1.0/224 to its first label, each time in a fresh browser;
- frames: with V1 0.5/160 (random weights, which do not change the speed), the frames classified of those that the
  camera gave;
- inference: the page's own measurement and a plain loop around LiteRT.js' `run`, one thread, in turns; and the page's
  inference while it watches the camera, which shares the CPU with the camera and the drawing.
Needs Chromium; takes 2 minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch
from edgenet_device.frames.photos import read_photo
from edgenet_device.web.address import parse_address
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from benchmarks.chromium_page import FLAGS, chromium_program
from edgenet.assets import calibration_photos
from edgenet.errors import EdgenetError
from edgenet.web.server import PageServer
from edgenet.web.site import PAGE_PROTOCOL, PageOptions, build_page
from edgenet.workflows.convert import convert
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.registry import Variant, build

PHOTOS = calibration_photos()
FIRST, LIVE = "mobilenet_v2_1.0_224", Variant("mobilenet_v1", 0.5, 160)
STARTS, PAIRS, WATCHED_S = 5, 10, 10
# This script records the time of the first label and the inference time of every frame.
_LISTEN = """
document.addEventListener("edgenet:seen", ({ detail }) => {
  window.first ??= performance.now();
  (window.inference ??= []).push(detail.ms.inference);
  document.documentElement.dataset.seen = 1;
});
document.addEventListener("edgenet:measured", ({ detail }) => { window.samples = detail.samples_ns; });
"""
_BARE = """
async () => {
  const litert = await import("/litert/index.js");
  await litert.loadLiteRt("/litert/");
  const model = await litert.loadAndCompile("/model.tflite", { accelerator: "wasm", cpuOptions: { numThreads: 1 } });
  const shape = Array.from(model.getInputDetails()[0].shape);
  const input = new litert.Tensor(new Uint8Array(shape.reduce((a, b) => a * b)).fill(100), shape);
  window.loop = async (ms) => {
    const samples = [], end = performance.now() + ms;
    while (performance.now() < end) {
      const start = performance.now();
      const [scores] = await model.run([input]);
      samples.push((performance.now() - start) * 1e6);
      scores.delete();
    }
    return samples;
  };
}
"""


def main() -> int:
    """Read the command line, measure, print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--v2", type=Path, metavar="BUNDLE", help="of V2 1.0/224; else one is made")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
            figures = measure(given.v2, Path(folder), playwright)
    except EdgenetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, figure in figures.items():
        print(f"{name:<38} {figure}")
    if given.out:
        given.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def measure(v2: Path | None, work: Path, playwright: Playwright) -> dict[str, Any]:
    """Return all figures, by name."""
    first = v2 or _converted(FIRST, work)
    live = _converted(str(_random_weights(work)), work)
    film = _film(work)
    starts = [first_label_ms(first, film, playwright) for _ in range(STARTS)]
    seen, given, watching = watch(live, film, playwright)
    page, bare = in_turns(live, playwright)
    ratio = statistics.median(a / b for a, b in zip(page, bare, strict=True))
    return {
        "first label, ms, each": [round(one) for one in starts],
        "first label, ms, median": round(statistics.median(starts)),
        "frames classified / given by the camera": f"{seen} / {given} in {WATCHED_S} s",
        "inference, page, p50 ms": round(statistics.median(page), 3),
        "inference, bare loop, p50 ms": round(statistics.median(bare), 3),
        "inference, page / bare": round(ratio, 3),
        "inference while watching, p50 ms": round(watching, 3),
    }


def first_label_ms(bundle: Path, film: Path, playwright: Playwright) -> float:
    """Return the time from opening the page in a fresh browser to its first label, ms, by the page's own clock."""
    with _serving(bundle, PageOptions()) as url, _chromium(playwright, film) as browser:
        page = _opened(browser, url)
        page.wait_for_selector("html[data-seen]")
        return float(page.evaluate("window.first"))


def watch(bundle: Path, film: Path, playwright: Playwright) -> tuple[int, int, float]:
    """Return the frames classified, the frames that the camera gave meanwhile, and the p50 (ms) of inference."""
    frames = "[window.inference.length, document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames]"
    with _serving(bundle, PageOptions(threads=1)) as url, _chromium(playwright, film) as browser:
        page = _opened(browser, url)
        page.wait_for_selector("html[data-seen]")
        page.wait_for_timeout(2000)
        before = page.evaluate(frames)
        page.wait_for_timeout(WATCHED_S * 1000)
        after = page.evaluate(frames)
        inference = page.evaluate("window.inference")
        return after[0] - before[0], after[1] - before[1], statistics.median(inference[before[0] :])


def in_turns(bundle: Path, playwright: Playwright) -> tuple[list[float], list[float]]:
    """Return the p50 (ms) of each block of the page's own measurement and of a bare loop, which take turns."""
    options = PageOptions(threads=1, measuring=replace(PAGE_PROTOCOL, runs=1, min_seconds=1.0))
    ours: list[float] = []
    bare: list[float] = []
    with _serving(bundle, options) as url, _chromium(playwright, None) as browser:
        page, plain = _opened(browser, url), _opened(browser, f"{url}page.json")
        plain.evaluate(_BARE)
        for _ in range(PAIRS):
            page.evaluate("window.samples = null")
            page.locator("#measure").click(force=True)
            page.locator("#measure:enabled").wait_for()
            ours.append(statistics.median(page.evaluate("window.samples")) / 1e6)
            bare.append(statistics.median(plain.evaluate("window.loop(1000)")) / 1e6)
    return ours, bare


def _opened(browser: Browser, url: str) -> Page:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    context.add_init_script(_LISTEN)
    page = context.new_page()
    page.goto(url)
    return page


@contextmanager
def _serving(bundle: Path, options: PageOptions) -> Iterator[str]:
    site = build_page(bundle, options, takes_reports=False)
    with PageServer(site.files, parse_address("0")) as server:
        yield server.address.url()


@contextmanager
def _chromium(playwright: Playwright, film: Path | None) -> Iterator[Browser]:
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    flags = () if film is None else (*camera, f"--use-file-for-fake-video-capture={film}")
    browser = playwright.chromium.launch(executable_path=chromium_program(), args=[*FLAGS, *flags])
    yield browser
    browser.close()


def _film(work: Path) -> Path:
    """Write a film for the fake camera: 640x480, 30 frames a second."""
    frames = [cv2.resize(read_photo(path), (640, 480)) for path in sorted(PHOTOS.glob("*.jpg"))[:30]]
    yuv = [cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes() for frame in frames]
    path = work / "camera.y4m"
    path.write_bytes(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420\n" + b"".join(b"FRAME\n" + one for one in yuv))
    return path


def _random_weights(work: Path) -> Path:
    torch.manual_seed(0)
    module = build(LIVE, classes=1000).eval()
    labels = tuple(f"class {index}" for index in range(1000))
    network = LoadedNetwork(module, LIVE, labels, module.normalization, "random weights", "Apache-2.0")
    save_checkpoint(work / "live.safetensors", network)
    return work / "live.safetensors"


def _converted(source: str, work: Path) -> Path:
    out = work / f"{Path(source).name}.tflite"
    convert(source, out, calibration=PHOTOS, photos=16, recipe="minmax")
    return out


if __name__ == "__main__":
    sys.exit(main())
