#!/usr/bin/env python3
"""Time a cold start in this fresh process: import, load, first inference. measure_latency.py runs it.

python cold_start.py mobilenet.tflite 1
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from edgenet_device.entry import run


def time_cold_start(model: Path, threads: int) -> dict[str, Any]:
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
    interpreter = make_interpreter(runtime, open_model(model), threads)
    loaded = time.perf_counter_ns()
    fill_input(interpreter)
    filled = time.perf_counter_ns()
    interpreter.invoke()
    done = time.perf_counter_ns()
    steps = {"import_ms": imported - start, "load_ms": loaded - imported, "first_inference_ms": done - filled}
    return {**{name: ns / 1e6 for name, ns in steps.items()}, "peak_memory_bytes": peak_memory_bytes()}


def main() -> int:
    """Print the steps as one line of JSON and return the exit status."""
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        print("usage: cold_start.py MODEL THREADS", file=sys.stderr)
        return 2
    print(json.dumps(time_cold_start(Path(sys.argv[1]), int(sys.argv[2]))))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
