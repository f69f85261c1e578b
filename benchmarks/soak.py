"""Does the live camera stay as it was? 100,000 frames of a stream that breaks 50 times, in one process.

    python -m benchmarks.soak

device_scripts/camera.py looks at a stream (JPEGs over HTTP, 640x480, as fast as it takes them) that this script sends
and cuts. Prints memory and latency of each tenth. Exit status 1 where memory or latency grew, or the camera did not
come back after a cut.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import IO

import cv2

from benchmarks.camera import small_v1
from benchmarks.environments import ROOT
from edgenet.assets import device_scripts

FRAMES, CUTS, TENTHS = 100_000, 50, 10
# Of the last tenth against the second: the first warms up.
MIB_ALLOWED, RATIO_ALLOWED = 2.0, 1.1
STAGES = ("preprocess", "inference", "postprocess")
_BOUNDARY = b"frame"


class Stream:
    """Sends photos over and over to everyone who asks, until it is cut; whoever asks again gets them again."""

    def __init__(self, photos: list[bytes]) -> None:
        self.photos = photos
        self.connections = 0
        self._cut = threading.Event()

    def cut(self) -> None:
        """Breaks the connections that are there now."""
        self._cut.set()

    def send(self, out: IO[bytes]) -> None:
        """Sends until the cut."""
        self.connections += 1
        self._cut.clear()
        while True:
            for photo in self.photos:
                if self._cut.is_set():
                    return
                out.write(
                    b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                    % (_BOUNDARY, len(photo))
                )
                out.write(photo + b"\r\n")


@dataclass
class Tenth:
    """What a tenth of the frames showed.

    Attributes:
        mib: resident memory at its end.
        ms: of each frame, the stages of the classifier together.
    """

    mib: float
    ms: list[float]


def main() -> int:
    """Reads the command line, runs and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames to look at ({FRAMES})")
    parser.add_argument("--cuts", type=int, default=CUTS, help=f"times that the stream breaks ({CUTS})")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = small_v1(Path(folder)).int8
        log = Path(folder) / "log"
        began = time.perf_counter()
        tenths, connections, status = soak(model, arguments.frames, arguments.cuts, log)
        seconds = time.perf_counter() - began
        back = log.read_text().count("the camera is back")
    print(f"{arguments.frames} frames in {seconds:.0f} s, {connections} connections, exit status {status}")
    print("frames up to  memory, MiB  latency p50, ms  p99, ms")
    for number, tenth in enumerate(tenths, 1):
        ms = sorted(tenth.ms)
        p99 = ms[int(0.99 * (len(ms) - 1))]
        print(f"{number * arguments.frames // TENTHS:12} {tenth.mib:12.1f} {median(ms):16.3f} {p99:8.3f}")
    growth, ratio = tenths[-1].mib - tenths[1].mib, median(tenths[-1].ms) / median(tenths[1].ms)
    print(f"last tenth against the second: {growth:+.1f} MiB, {ratio:.3f} of the latency")
    print(f"cuts: {arguments.cuts}, came back {back} times")
    well = growth <= MIB_ALLOWED and ratio <= RATIO_ALLOWED and back == arguments.cuts and status == 0
    print("it stays as it was" if well else "missed")
    return int(not well)


def soak(model: Path, frames: int, cuts: int, log: Path) -> tuple[list[Tenth], int, int]:
    """Runs camera.py over the stream.

    Args:
        model: what it runs.
        frames: how many it looks at.
        cuts: how often the stream breaks, evenly spread.
        log: takes its remarks.

    Returns:
        the tenths, the number of connections it made, and its exit status.
    """
    photos = [_frame(path) for path in sorted((ROOT / "calibration_data").glob("*.jpg"))[:20]]
    with serving(photos) as (stream, url), log.open("w") as remarks:
        command = [
            sys.executable,
            str(device_scripts() / "camera.py"),
            str(model),
            url,
            "--threads",
            "1",
            "--json",
        ]
        process = subprocess.Popen(
            [*command, "--frames", str(frames)], cwd=ROOT, stdout=subprocess.PIPE, stderr=remarks, text=True
        )
        assert process.stdout is not None
        tenths: list[Tenth] = []
        ms: list[float] = []
        every = frames // (cuts + 1)
        for line in process.stdout:
            told = json.loads(line)
            if told["type"] != "frame":
                continue
            ms.append(sum(told["ms"][stage] for stage in STAGES))
            if told["frame"] % every == 0 and told["frame"] < every * (cuts + 1):
                stream.cut()
            if told["frame"] % (frames // TENTHS) == 0:
                tenths.append(Tenth(_resident_mib(process.pid), ms))
                ms = []
        return tenths, stream.connections, process.wait()


@contextmanager
def serving(photos: list[bytes]) -> Iterator[tuple[Stream, str]]:
    """A stream and its URL."""
    stream = Stream(photos)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}")
            self.end_headers()
            with suppress(OSError):  # the camera closed it
                stream.send(self.wfile)

        def log_message(self, *text: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield stream, f"http://127.0.0.1:{server.server_address[1]}/stream.mjpg"
    finally:
        stream.cut()
        server.shutdown()
        server.server_close()


def _frame(path: Path) -> bytes:
    picture = cv2.resize(cv2.imread(str(path)), (640, 480), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", picture)[1])


def _resident_mib(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/{process}/status tells no VmRSS")


if __name__ == "__main__":
    sys.exit(main())
