"""The small programs that edgenet and measure_latency.py start on a device; they print JSON.

python -m edgenet_device try-model mobilenet.edgenet
python -m edgenet_device time-cold-start mobilenet.tflite 1
python -m edgenet_device send-photos 0 --every 0.5
python -m edgenet_device accept-bundle trust.json mobilenet.edgenet --key PUBLIC_KEY
python -m edgenet_device update https://updates.example/cameras
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from importlib import util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from edgenet_device.entry import between, run, script_parser
from edgenet_device.foreign_text import is_number, json_text
from edgenet_device.frames.view import add_view_options, view_of
from edgenet_device.source_text import read_source

# Only light modules are imported here: the time that they take counts as a part of a cold start. The heavy ones
# come late, also so that a missing numpy or OpenCV is reported in one line.


def main() -> int:
    """Run the program that the command line names, and return the exit status."""
    programs = {
        "try-model": try_model,
        "run-once": run_once,
        "time-cold-start": time_cold_start,
        "send-photos": send_photos,
        "accept-bundle": accept_bundle,
        "update": fetch_update,
    }
    program = programs.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if program is None:
        print(f"usage: python -m edgenet_device {'|'.join(programs)} ...", file=sys.stderr)
        return 2
    return program(sys.argv[2:])


def try_model(arguments: list[str]) -> int:
    """Verify a model's file, load it, run it once, import OpenCV, and print what was found as JSON."""
    shape = script_parser("python -m edgenet_device try-model", try_model.__doc__)
    shape.add_argument("model", metavar="MODEL", type=Path, help=".tflite file or .edgenet bundle")
    shape.add_argument("--key", metavar="KEY", help="trust this public key: base64 of its 32 bytes")
    given = shape.parse_args(arguments)
    from edgenet_device.classifier import Classifier
    from edgenet_device.errors import EdgenetError
    from edgenet_device.model_file import open_model
    from edgenet_device.trust import Trust, read_key

    trust = None if given.key is None else Trust(read_key(given.key), 0)
    classifier = Classifier(open_model(given.model, trust), threads=1)
    classifier.input_view()[:] = 127
    classifier.invoke()
    # Without OpenCV the model still runs, but no photos or cameras can be read.
    if util.find_spec("cv2") is not None:
        try:
            import cv2  # noqa: F401
        except ImportError as error:
            raise EdgenetError(f"OpenCV cannot be imported: {error}", "install OpenCV again") from None
    _compile_package()
    facts = {
        "size": classifier.size,
        "classes": len(classifier.scores()),
        "runtime": classifier.runtime.name,
        "version": classifier.runtime.version,
        "delegate": classifier.delegate.describe(),
    }
    print(json_text(facts))
    return 0


def _compile_package() -> None:
    """Write the byte code of this package's modules beside them.

    A service that is confined may not write there: it would compile its modules anew at every start.
    """
    for place in sorted(Path(__file__).resolve().parent.rglob("*.py")):
        SourceFileLoader(place.stem, str(place)).get_code(place.stem)


def run_once(arguments: list[str]) -> int:
    """Load the .tflite on standard input, run it once, and print as JSON which of the two failed and why.

    `trial` starts this for a model that this machine has not run before. The runtime may end this process.
    """
    if len(arguments) != 1 or not is_number(arguments[0]):
        print("usage: python -m edgenet_device run-once THREADS < MODEL", file=sys.stderr)
        return 2
    data = sys.stdin.buffer.read()
    from edgenet_device.latency.samples import fill_input
    from edgenet_device.runtime import REFUSALS, bare_interpreter, load_runtime, reason_of

    runtime = load_runtime()
    _limit_this_process(len(data))
    failed = reason = None
    try:
        interpreter = bare_interpreter(runtime, data, int(arguments[0]))
        failed = "run"
        fill_input(interpreter)
        interpreter.invoke()
        failed = None
    except REFUSALS as error:
        failed, reason = failed or "load", reason_of(error)
    print(json_text({"failed": failed, "reason": reason}))
    return 0


_MOST_BYTES = 1 << 30


def _limit_this_process(model_bytes: int) -> None:
    """Limit this process's CPU time and memory, and write no core file, where the system has such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    from edgenet_device.trial import MOST_CPU_S

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    for limit, value in (
        (resource.RLIMIT_CPU, int(used) + MOST_CPU_S),
        (resource.RLIMIT_DATA, _MOST_BYTES + 4 * model_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (soft, hard))


def time_cold_start(arguments: list[str]) -> int:
    """Print the times of a cold start in this fresh process as one line of JSON."""
    # No argparse parser is made: making one would take a part of the time.
    if len(arguments) != 2 or not is_number(arguments[1]):
        print("usage: python -m edgenet_device time-cold-start MODEL THREADS", file=sys.stderr)
        return 2
    print(json_text(_cold_start(Path(arguments[0]), int(arguments[1]))))
    return 0


def _cold_start(model: Path, threads: int) -> dict[str, Any]:
    """Return the milliseconds of each step; call this only once per process, or nothing is cold any more.

    - import_ms: importing numpy and the LiteRT runtime;
    - load_ms: reading and verifying the file, building the interpreter, allocating tensors, applying the
      delegate;
    - first_inference_ms: the first Invoke;
    - peak_memory_bytes: this process's peak memory so far; None where /proc does not report it.
    """
    start = time.perf_counter_ns()
    from edgenet_device.latency.conditions import peak_memory_bytes
    from edgenet_device.latency.samples import fill_input
    from edgenet_device.model_file import open_model
    from edgenet_device.runtime import load_runtime, make_interpreter

    runtime = load_runtime()
    imported = time.perf_counter_ns()
    # Trusted: whoever starts this process has run the model already, and the time of a trial is no cold start's.
    interpreter = make_interpreter(runtime, open_model(model), threads, trusted=True)
    loaded = time.perf_counter_ns()
    fill_input(interpreter)
    filled = time.perf_counter_ns()
    interpreter.invoke()
    done = time.perf_counter_ns()
    steps = {"import_ms": imported - start, "load_ms": loaded - imported, "first_inference_ms": done - filled}
    return {**{name: ns / 1e6 for name, ns in steps.items()}, "peak_memory_bytes": peak_memory_bytes()}


def send_photos(arguments: list[str]) -> int:
    """Print a camera's newest pictures as JSON lines with JPEGs in base64, for another program to read."""
    shape = script_parser("python -m edgenet_device send-photos", send_photos.__doc__)
    add = shape.add_argument
    add("source", metavar="SOURCE", help="camera, video, folder of photos, or URL of a stream")
    add(
        "--every",
        metavar="S",
        type=between(0, 60),
        default=0.5,
        help="send at most one photo every S seconds (default: 0.5)",
    )
    add_view_options(shape)
    given = shape.parse_args(arguments)
    view = view_of(shape, given)
    from edgenet_device.collecting.camera_photos import send

    return send(read_source(given.source), given.every, view, sys.stdout)


def accept_bundle(arguments: list[str]) -> int:
    """Check that a bundle is signed by the key that a trust.json names, and make it the newest one there."""
    shape = script_parser("python -m edgenet_device accept-bundle", accept_bundle.__doc__)
    add = shape.add_argument
    add("trust", metavar="TRUST", type=Path, help="the trust.json; with --key it may be missing")
    add("bundle", metavar="BUNDLE", type=Path, help=".edgenet bundle")
    add("--key", metavar="KEY", help="trust this public key from now on: base64 of its 32 bytes")
    add("--older", action="store_true", help="accept a bundle that is older than the newest one, too")
    add("--check", action="store_true", help="only check; write nothing")
    given = shape.parse_args(arguments)
    from edgenet_device.errors import EdgenetError
    from edgenet_device.model_file import check_trusted_file, read_file
    from edgenet_device.signature import key_name
    from edgenet_device.trust import Trust, read_key, read_trust, write_trust

    key = None if given.key is None else read_key(given.key)
    known = None
    if given.trust.exists():
        # A damaged file is no obstacle for somebody who gives the key anew.
        with suppress(*([] if key is None else [EdgenetError])):
            known = read_trust(given.trust)
    key = known.key if key is None and known is not None else key
    if key is None:
        shape.error(f"{given.trust} does not exist: give --key KEY")
    # With another key, there is no newest bundle yet.
    trust = known if known is not None and known.key == key else Trust(key, 0)
    at = check_trusted_file(given.bundle, read_file(given.bundle), trust, given.older)
    if not given.check:
        write_trust(given.trust, Trust(trust.key, at))
    print(json_text({"key": key_name(trust.key), "signed_at": at}))
    return 0


def fetch_update(arguments: list[str]) -> int:
    """Install the newest bundle of a folder of updates, and go back if it fails in its first minutes."""
    shape = script_parser("python -m edgenet_device update", fetch_update.__doc__)
    add = shape.add_argument
    add("url", metavar="URL", help="https address of the folder that `edgenet publish` writes")
    add("--ca", metavar="FILE", type=Path, help="PEM file of the certificate authority to trust")
    seconds = between(0, 86400)
    add(
        "--watch",
        metavar="S",
        type=seconds,
        default=180.0,
        help="watch the service for S seconds (default: 180)",
    )
    add(
        "--jitter", metavar="S", type=seconds, default=0.0, help="wait a random time of up to S seconds first"
    )
    add("--retry", action="store_true", help="try a bundle again that has failed on this device")
    add(
        "--home",
        metavar="DIR",
        type=Path,
        default=Path("~/.local/share/edgenet"),
        help="edgenet's folder on this device (default: ~/.local/share/edgenet)",
    )
    given = shape.parse_args(arguments)
    from edgenet_device.foreign_text import say
    from edgenet_device.updates.update import UpdateRequest, update

    home = given.home.expanduser().absolute()
    update(UpdateRequest(home, given.url, given.ca, given.watch, given.jitter, given.retry), say)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
