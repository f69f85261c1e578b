"""What TensorFlow Lite's `benchmark_model` prints, read without trusting it.

Its source: tflite/tools/benchmark/benchmark_model.cc and benchmark_tflite_model.cc (the run), stats_calculator.h of
TensorFlow's profiling (a line of statistics) and stats_calculator.cc (the table of operators).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from device_scripts.delegate import Delegate
from edgenet.errors import EdgenetError

_FIGURE = r"[-+\d.e]+"
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: (?P<init>{_FIGURE}), First inference: (?P<first>{_FIGURE}),"
)
_STATISTICS = re.compile(rf"\bcount=\d+ [^\n]*?\bcurr={_FIGURE}[^\n]*")
_VALUE = re.compile(rf"(\w+)=({_FIGURE})")
_REPLACED = re.compile(
    r"Replacing (?P<taken>\d+) out of (?P<total>\d+) node\(s\) with delegate \((?:TfLite)?(?P<name>\w+?)(?:Delegate)?\)"
    r" node, yielding (?P<parts>\d+) partitions"
)
_WHOLE = re.compile(
    r"Explicitly applied (?P<name>\S+) delegate, and the model graph will be completely executed"
)
_TABLE = "= Run Order ="
_AVERAGE, _CALLS = "[avg ms]", "[times called]"


@dataclass(frozen=True)
class ToolRun:
    """One run of the program.

    Attributes:
        init_ms: reading the model and making the interpreter, with its delegate.
        first_ms: the first inference.
        n: timed inferences; of these all figures below, milliseconds. Single ones are not told.
        delegate: what was delegated, as far as it tells.
    """

    init_ms: float
    first_ms: float
    n: int
    min_ms: float
    p50_ms: float
    max_ms: float
    mean_ms: float
    std_ms: float
    delegate: Delegate


@dataclass(frozen=True)
class ToolOperator:
    """An operator, or all of a delegate's that are alike: kind, name, and milliseconds of an inference, on average."""

    kind: str
    name: str
    ms: float


def read_run(text: str, nodes: int) -> ToolRun:
    """The run that the program tells of.

    Args:
        nodes: operators of the network.

    Raises:
        EdgenetError: it tells of none, or only averages.
    """
    timings = _TIMINGS.search(text)
    told = _STATISTICS.findall(text[: timings.start()] if timings else "")
    if timings is None or not told:
        raise EdgenetError(
            f"benchmark_model tells no timings; it ends with: {_last_line(text)}",
            "give TensorFlow Lite's benchmark_model",
        )
    runs = {name: float(value) for name, value in _VALUE.findall(told[-1])}  # the warm-up is before them
    if "median" not in runs:
        raise EdgenetError(
            "this benchmark_model tells averages and no median", "give one of TensorFlow 2.15 or newer"
        )
    same = runs["curr"]  # where all runs took as long, it tells this alone
    return ToolRun(
        init_ms=float(timings["init"]) / 1e3,
        first_ms=float(timings["first"]) / 1e3,
        n=int(runs["count"]),
        min_ms=runs.get("min", same) / 1e3,
        p50_ms=runs["median"] / 1e3,
        max_ms=runs.get("max", same) / 1e3,
        mean_ms=runs.get("avg", same) / 1e3,
        std_ms=runs.get("std", 0.0) / 1e3,
        delegate=_delegate(text, nodes),
    )


def read_operators(text: str) -> list[ToolOperator]:
    """The operators of the timed runs, in the order in which they run; the last such table is theirs.

    Raises:
        EdgenetError: there is no such table, or one with other columns.
    """
    _, _, table = text.rpartition(_TABLE)
    header, *lines = [_cells(line) for line in table.splitlines()[1:]] or [[]]
    operators: list[ToolOperator] = []
    for cells in lines if {_AVERAGE, _CALLS} <= set(header) else []:
        if len(cells) != len(header):
            break  # the table's end
        row = dict(zip(header, cells, strict=True))
        ms = float(row[_AVERAGE]) * int(row[_CALLS])
        operators.append(ToolOperator(cells[0], cells[-1], ms))
    if not operators:
        raise EdgenetError(
            "benchmark_model tells no times of operators", "leave out --profile, or give another build"
        )
    return operators


def _delegate(text: str, nodes: int) -> Delegate:
    replaced = _REPLACED.search(text)
    if replaced:
        name = "XNNPACK" if replaced["name"] == "XNNPack" else replaced["name"]
        return Delegate(name, int(replaced["taken"]), int(replaced["total"]), int(replaced["parts"]))
    whole = _WHOLE.search(text)
    return Delegate(whole["name"], nodes, nodes, 1) if whole else Delegate(None, None, None, None)


def _cells(line: str) -> list[str]:
    """Of a table, whose cells have a tab before them and spaces around them."""
    return [cell.strip() for cell in line.split("\t") if cell.strip()]


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "nothing"
