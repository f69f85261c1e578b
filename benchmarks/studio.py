"""Is the studio's page quick? Its start, 5,000 photos that scroll, its step Try, 10,000 dropped photos, a newcomer.

    .venv/bin/python -m benchmarks.studio                    # everything, about 10 minutes
    .venv/bin/python -m benchmarks.studio --only newcomer    # or ready, scroll, try, drop

It uses the Chromium of this machine without a window, 1280 by 800:
- newcomer: from the page's address to a classifier that names two things rightly which it has not seen, by a person
  who looks one second before each click; the pretrained network is ImageNet's, and nothing is chosen;
- ready: from the page's address to the classes on the screen, with few photos and with --photos;
- scroll: a class with --photos photos of 640 by 480: until the grid is there, and the time of each frame while it
  scrolls by 60 pixels a frame;
- try: frames of a 640 by 480 camera that V2 1.0 at 160 and at 224 pixels classifies, beside those that it gave;
- drop: --dropped photos of 320 by 240 that are dropped at once: how many arrive in a second, how many are on their way
  at most, the page's frames meanwhile, and the memory of browser and server.
Needs Chromium and 1 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from edgenet_device.frames.photos import read_photo
from edgenet_device.latency.samples import percentile
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from benchmarks.chromium_page import FLAGS, chromium_program
from benchmarks.studio_visit import TAUGHT, FakeCamera, Newcomer, running_studio
from edgenet.assets import calibration_photos
from edgenet.errors import EdgenetError
from edgenet.workflows.convert import convert
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.registry import Variant, build

Figures = dict[str, Any]
LOOKS_MS = 1000
"""How long the newcomer looks before each click."""
WATCHED_S = 10
SCROLLED_FRAMES = 300
SIDES = (160, 224)
_PATIENCE_MS = 900_000
_PICTURES = 64
"""So many different photos are dropped again and again, under other names."""
_SCROLL = """([frames, step]) => new Promise((done) => {
    const grid = document.querySelector(".photos"), times = [];
    let before = performance.now();
    const draw = (now) => {
        times.push(now - before);
        before = now;
        grid.scrollTop += step;
        if (times.length < frames) requestAnimationFrame(draw);
        else done(times.slice(1));
    };
    requestAnimationFrame(draw);
})"""
_WATCH_FRAMES = """() => {
    window.frameTimes = [];
    let before = performance.now();
    const draw = (now) => { window.frameTimes.push(now - before); before = now; requestAnimationFrame(draw); };
    requestAnimationFrame(draw);
    window.atOnce = window.mostAtOnce = 0;
    const ask = window.fetch;
    window.fetch = async (path, ...more) => {
        if (!String(path).startsWith("/api/photos/add")) return ask(path, ...more);
        window.mostAtOnce = Math.max(window.mostAtOnce, ++window.atOnce);
        try { return await ask(path, ...more); } finally { window.atOnce--; }
    };
}"""
_DROP = """async ([count, side]) => {
    const pictures = [];
    for (let n = 0; n < PICTURES; n++) {
        const canvas = new OffscreenCanvas(320, 240), context = canvas.getContext("2d");
        for (let spot = 0; spot < 40; spot++) {
            context.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
            context.fillRect(Math.random() * 320, Math.random() * 240, 60, 60);
        }
        pictures.push(await canvas.convertToBlob({ type: "image/jpeg" }));
    }
    const transfer = new DataTransfer();
    for (let n = 0; n < count; n++) transfer.items.add(new File([pictures[n % PICTURES]], `photo-${n}.jpg`));
    const drop = new DragEvent("drop", { dataTransfer: transfer, bubbles: true });
    document.querySelector("article[data-label=many]").dispatchEvent(drop);
}""".replace("PICTURES", str(_PICTURES))


def main() -> int:
    """Read the command line, measure, print; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=tuple(PARTS), help="one part; otherwise all of them")
    parser.add_argument("--photos", type=int, default=5000, metavar="N", help="of a class (default: 5000)")
    parser.add_argument("--dropped", type=int, default=10_000, metavar="N", help="at once (default: 10000)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    given = parser.parse_args()
    expect.set_options(timeout=_PATIENCE_MS)
    figures: Figures = {"load of the machine before": f"{os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"}
    try:
        for name in [given.only] if given.only else PARTS:
            with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
                found = PARTS[name](playwright, Path(folder), given)
            figures |= found
            for what, figure in found.items():
                print(f"{what:<52} {figure}", flush=True)
    except EdgenetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if given.out:
        given.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def newcomer(playwright: Playwright, work: Path, given: argparse.Namespace) -> Figures:
    """Measure a person's way from the page's address to a classifier of two things."""
    camera = FakeCamera(work / "camera.y4m")
    camera.shows(TAUGHT["dog"][0])
    with running_studio(work / "things") as url, _chromium(playwright, *camera.flags) as browser:
        page = _page(browser)
        began = time.monotonic()
        page.goto(url)
        visitor = Newcomer(page, camera, LOOKS_MS)
        visitor.collect()
        collected = time.monotonic()
        visitor.teach()
        first = time.monotonic()
        for label in TAUGHT:
            visitor.sees(label)
        ended = time.monotonic()
    return {
        "newcomer: collecting two things, s": round(collected - began),
        "newcomer: from there to a first classifier, s": round(first - collected),
        "newcomer: until both things were named rightly, s": round(ended - began),
        "newcomer: clicks": visitor.clicks,
    }


def ready(playwright: Playwright, work: Path, given: argparse.Namespace) -> Figures:
    """Measure how soon the page shows its classes, each time in a fresh browser."""
    found: Figures = {}
    for name, count in (("few", 8), ("many", given.photos)):
        folder = work / name
        for label in ("mug", "key"):
            write_photos(folder / "photos" / label, count if label == "mug" else 8)
        with running_studio(folder) as url:
            times = []
            for _ in range(5):
                with _chromium(playwright) as browser:
                    page = _page(browser)
                    page.goto(url)
                    page.locator("article.card").nth(1).wait_for()
                    times.append(page.evaluate("performance.now()"))
        found[f"ready with {count + 8} photos, ms, each"] = [round(one) for one in times]
    return found


def scroll(playwright: Playwright, work: Path, given: argparse.Namespace) -> Figures:
    """Measure the frames of a grid that scrolls, once all thumbnails are made."""
    write_photos(work / "things" / "photos" / "many", given.photos)
    write_photos(work / "things" / "photos" / "few", 8)
    with running_studio(work / "things") as url, _chromium(playwright) as browser:
        page = _page(browser)
        page.goto(url)
        began = time.monotonic()
        while not page.evaluate(
            "fetch('/api/photos?label=many').then((a) => a.json()).then((a) => a.measured)"
        ):
            page.wait_for_timeout(1000)
        measured = time.monotonic() - began
        opens = time.monotonic()
        page.get_by_role("button", name="Show the photos of many").click()
        page.locator(".photo img").first.wait_for()
        opened = time.monotonic() - opens
        times = page.evaluate(_SCROLL, [SCROLLED_FRAMES, 60])
        elements = page.locator(".photo").count()
    return {
        f"scroll: measuring {given.photos} photos, in the background, s": round(measured),
        "scroll: until the grid is there, s": round(opened, 2),
        **_frames("scroll", times),
        "scroll: photos that are elements of the page": elements,
    }


def trying(playwright: Playwright, work: Path, given: argparse.Namespace) -> Figures:
    """Measure the step Try with V2 1.0 at two resolutions; random weights do not change the speed."""
    film = _film(work)
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    (work / "things" / "bundles").mkdir(parents=True)
    found: Figures = {}
    for side in SIDES:
        for old in (work / "things" / "bundles").iterdir():
            old.unlink()
        bundle = work / "things" / "bundles" / f"v2-{side}.edgenet"
        weights = _random_weights(work, side)
        convert(weights, bundle, calibration=calibration_photos(), photos=16, recipe="minmax")
        with (
            running_studio(work / "things") as url,
            _chromium(playwright, *camera, f"--use-file-for-fake-video-capture={film}") as browser,
        ):
            page = _page(browser)
            page.goto(f"{url}#try")
            expect(page.locator("#try-speed")).to_contain_text("frames/s")
            page.wait_for_timeout(3000)
            given_frames = "document.getElementById('try-video').getVideoPlaybackQuality().totalVideoFrames"
            before, began = page.evaluate(given_frames), time.monotonic()
            page.wait_for_timeout(WATCHED_S * 1000)
            rate = (page.evaluate(given_frames) - before) / (time.monotonic() - began)
            fps, ms = re.findall(r"[\d.]+", page.locator("#try-speed").inner_text())[:2]
        found[f"try: V2 1.0 at {side} px, frames/s"] = f"{fps} of the camera's {rate:.1f}, network {ms} ms"
    return found


def drop(playwright: Playwright, work: Path, given: argparse.Namespace) -> Figures:
    """Measure what thousands of photos that are dropped at once do to the page and to the memory."""
    (work / "things" / "photos" / "many").mkdir(parents=True)
    with running_studio(work / "things") as url, _chromium(playwright) as browser:
        page = _page(browser)
        page.goto(url)
        page.locator("article[data-label=many]").wait_for()
        page.evaluate(_WATCH_FRAMES)
        page.wait_for_timeout(1000)
        quiet = memory_mib()
        began, most = time.monotonic(), quiet
        page.evaluate(_DROP, [given.dropped, 0])
        folder = work / "things" / "photos" / "many"
        while sum(1 for _ in folder.glob("*.jpg")) < given.dropped:
            page.wait_for_timeout(2000)
            most = {name: max(most[name], now) for name, now in memory_mib().items()}
        seconds = time.monotonic() - began
        times, at_once = page.evaluate("[window.frameTimes, window.mostAtOnce]")
    return {
        f"drop: {given.dropped} photos, s": f"{seconds:.0f} ({given.dropped / seconds:.0f} photos/s)",
        "drop: uploads at once, at most": at_once,
        **_frames("drop", times),
        **{
            f"drop: memory of the {name}, MiB, before and at most": f"{quiet[name]:.0f}, {most[name]:.0f}"
            for name in quiet
        },
    }


PARTS: dict[str, Callable[[Playwright, Path, argparse.Namespace], Figures]] = {
    "newcomer": newcomer,
    "ready": ready,
    "scroll": scroll,
    "try": trying,
    "drop": drop,
}


def _frames(part: str, times: Sequence[float]) -> Figures:
    p50, p95 = (percentile(np.array(times), percent) for percent in (50, 95))
    figures = f"{statistics.fmean(times):.1f}, {p50:.1f}, {p95:.1f}, {max(times):.0f}"
    return {f"{part}: time of a frame, ms, mean, p50, p95, max": figures}


def write_photos(folder: Path, count: int) -> None:
    """Write different JPEGs of 640 by 480: parts of the photos that come with edgenet."""
    folder.mkdir(parents=True)
    sources = [
        cv2.resize(read_photo(path), (960, 720)) for path in sorted(calibration_photos().glob("*.jpg"))[:50]
    ]
    random = np.random.default_rng(0)
    for n in range(count):
        x, y = random.integers(0, 320), random.integers(0, 240)
        part = np.ascontiguousarray(sources[n % len(sources)][y : y + 480, x : x + 640])
        (folder / f"photo-{n:05d}.jpg").write_bytes(cv2.imencode(".jpg", part)[1].tobytes())


def memory_mib() -> dict[str, float]:
    """Return the proportional memory (PSS) of this program's browsers, and of its studios, MiB."""
    found = {"browser": 0.0, "server": 0.0}
    for pid in _descendants(os.getpid()):
        try:
            words = (Path("/proc") / str(pid) / "cmdline").read_bytes()
            rollup = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        name = "browser" if b"chrom" in words else "server" if b"studio" in words else ""
        if name and (pss := re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)):
            found[name] += int(pss[1]) / 1024
    return found


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        found += (below := children.get(left.pop(), []))
        left += below
    return found


@contextmanager
def _chromium(playwright: Playwright, *flags: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium_program(), args=[*FLAGS, *flags])
    yield browser
    browser.close()


def _page(browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(_PATIENCE_MS)
    return page


def _film(work: Path) -> Path:
    """Write a film for the fake camera: 640 by 480, 30 frames a second."""
    frames = [
        cv2.resize(read_photo(path), (640, 480)) for path in sorted(calibration_photos().glob("*.jpg"))[:30]
    ]
    path = work / "camera.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    return path


def _random_weights(work: Path, side: int) -> str:
    variant = Variant("mobilenet_v2", 1.0, side)
    torch.manual_seed(0)
    module = build(variant, classes=3).eval()
    network = LoadedNetwork(
        module, variant, ("a", "b", "c"), module.normalization, "random weights", "Apache-2.0"
    )
    save_checkpoint(work / f"v2-{side}.safetensors", network)
    return str(work / f"v2-{side}.safetensors")


if __name__ == "__main__":
    sys.exit(main())
