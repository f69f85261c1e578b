"""The output of TensorFlow Lite's benchmark_model, and a script that prints it.

The files in latency/benchmark_model_outputs are the real program's (LiteRT's source of February 2025 with the
runtime of TensorFlow 2.19, x86-64), of an int8 MobileNet V1 1.0/224: `runs`, with `--enable_op_profiling` under XNNPACK
(`delegated`) and under the built-in kernels (`kernels`), of a single run (`one-run`), and of half a file
(`not-a-model`). On Android the runtime prints more; see ANDROID. Only `older` is made up, in the format of
tensorflow/core/util/stats_calculator.cc of 2020: the delegate has a row among the network's operators, and its own
operators a table behind.
"""

from __future__ import annotations

import re
from pathlib import Path

OUTPUTS = Path(__file__).parent / "latency" / "benchmark_model_outputs"
ANDROID = (
    "VERBOSE: Replacing 33 out of 33 node(s) with delegate (TfLiteXNNPackDelegate) node, "
    "yielding 1 partitions for subgraph 0."
)
"""As tensorflow/lite/core/subgraph.cc writes it to standard error, on Android alone."""


def output(name: str) -> str:
    """Return one of the outputs."""
    return (OUTPUTS / f"{name}.txt").read_text()


def as_older(text: str) -> str:
    """Return the output of an older program: without severities and percentiles."""
    return re.sub(r" p5=\d+ median=\d+ p95=\d+", "", re.sub(r"^(INFO|WARN): ", "", text, flags=re.MULTILINE))


def printing(runs: str, profile: str, before: str = "", status: int = 0) -> str:
    """Return a script that prints an output, or another one if a profile is requested, and records its arguments.

    Args:
        runs: name of an output, or the text itself; `profile` likewise.
        before: commands to run first.
        status: its exit status.
    """
    known = {path.stem for path in OUTPUTS.iterdir()}
    texts = [output(text) if text in known else text for text in (runs, profile)]
    return f"""
echo "$*" >>"$0.calls"
{before}
case " $* " in *" --enable_op_profiling=true "*) cat <<'PROFILE'
{texts[1]}
PROFILE
;; *) cat <<'RUNS'
{texts[0]}
RUNS
;; esac
exit {status}
"""
