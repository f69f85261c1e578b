"""Do the live camera's memory and speed stay the same? 100,000 frames of a stream that breaks 50 times, in one process.

    .venv/bin/python -m benchmarks.soak

device_scripts/camera.py reads a stream (JPEGs over HTTP, 640x480, as fast as it can) that this script sends and breaks.
It prints memory and latency of each tenth of the frames. The exit status is 1 if memory or latency grew, or if the
camera did not reconnect after a break.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from itertools import cycle
from pathlib import Path
from statistics import median

import cv2

from benchmarks.camera import small_v1
from benchmarks.environments import ROOT
from edgenet.assets import device_scripts

FRAMES, CUTS, TENTHS = 100_000, 50, 10
# The last tenth is compared with the second, because the first includes the warm-up.
MIB_ALLOWED, RATIO_ALLOWED = 2.0, 1.1
STAGES = ("preprocess", "inference", "postprocess")
_BOUNDARY = b"frame"


class Stream:
    """A stream that sends photos over and over to every client, until it is cut; a client can then connect again.

    Args:
        photos: the frames, JPEG.
        per_second: frames per second, by the clock: a late frame does not delay the next; None for as fast as the
            client takes them.
    """

    def __init__(self, photos: list[bytes], per_second: float | None = None) -> None:
        self.photos, self._per_second = photos, per_second or math.inf
        self.connections = 0
        self._cut = threading.Event()

    def cut(self) -> None:
        """Break the connections that are open now."""
        self._cut.set()

    def send(self, out: BufferedIOBase) -> None:
        """Send photos until the stream is cut."""
        self.connections += 1
        self._cut.clear()
        began = time.perf_counter()
        for number, photo in enumerate(cycle(self.photos)):
            if self._cut.wait(max(began + number / self._per_second - time.perf_counter(), 0)):
                return
            out.write(
                b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (_BOUNDARY, len(photo))
            )
            out.write(photo + b"\r\n")


@dataclass
class Tenth:
    """The measurements of a tenth of the frames.

    Attributes:
        mib: resident memory at its end, MiB.
        ms: for each frame, the sum of the classifier's stages, ms.
    """

    mib: float
    ms: list[float]


def main() -> int:
    """Read the command line, run and print; return the exit status."""
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
    print("memory and latency stayed the same" if well else "missed")
    return int(not well)


def soak(model: Path, frames: int, cuts: int, log: Path) -> tuple[list[Tenth], int, int]:
    """Run camera.py on the stream.

    Args:
        model: the .tflite that it runs.
        frames: number of frames to classify.
        cuts: number of times that the stream breaks, evenly spread.
        log: file for its stderr.

    Returns:
        The tenths, the number of connections that the camera made, and its exit status.
    """
    with serving(calibration_frames()) as (stream, url), log.open("w") as remarks:
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
            event = json.loads(line)
            if event["type"] != "frame":
                continue
            ms.append(sum(event["ms"][stage] for stage in STAGES))
            if event["frame"] % every == 0 and event["frame"] < every * (cuts + 1):
                stream.cut()
            if event["frame"] % (frames // TENTHS) == 0:
                mib = (
                    _resident_mib(process.pid) or tenths[-1].mib
                )  # after its last frame it may have ended already
                tenths.append(Tenth(mib, ms))
                ms = []
        return tenths, stream.connections, process.wait()


@contextmanager
def serving(photos: list[bytes], per_second: float | None = None) -> Iterator[tuple[Stream, str]]:
    """Serve a stream; yield it and its URL."""
    stream = Stream(photos, per_second)

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


def calibration_frames() -> list[bytes]:
    """Return twenty photos as the JPEGs of a camera, 640x480."""
    return [_frame(path) for path in sorted((ROOT / "calibration_data").glob("*.jpg"))[:20]]


def _frame(path: Path) -> bytes:
    photo = cv2.imread(str(path))
    assert photo is not None, path
    picture = cv2.resize(photo, (640, 480), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", picture)[1])


def _resident_mib(process: int) -> float | None:
    """Return the resident memory of a process; None once it has ended."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None


if __name__ == "__main__":
    sys.exit(main())
