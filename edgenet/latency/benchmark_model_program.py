"""The user's benchmark_model program: inspecting it, checking that it fits a device, copying it there."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.runtime import Delegate

from edgenet.devices.device import Device, script
from edgenet.devices.local import LocalDevice
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.progress import Progress

NAME = "benchmark_model"
_CHECK = 'cd "$1" && echo "$2  $3" | sha256sum -c >/dev/null 2>&1 && chmod 755 "$3"'


@dataclass(frozen=True)
class BenchmarkProgram:
    """A benchmark_model program.

    Attributes:
        path: the file on this machine.
        machine: the architecture it was built for, named as `uname -m` does.
        sha256: the file's SHA-256.
        size_bytes: the file's size.
    """

    path: Path
    machine: str
    sha256: str
    size_bytes: int

    def facts(self) -> dict[str, str | int]:
        """Return the program's entry in the report."""
        return {"file": self.path.name, "sha256": self.sha256, "size_bytes": self.size_bytes}


def read_program(path: Path) -> BenchmarkProgram:
    """Inspect a program file.

    Raises:
        EdgenetError: the file cannot be read, or is not a program for Linux or Android.
    """
    return BenchmarkProgram(path, program_machine(path), sha256(path), path.stat().st_size)


def check_fits(program: BenchmarkProgram, device: Device) -> None:
    """Check that a program was built for the device's architecture.

    Raises:
        EdgenetError: it was not; the message says what it was built for and what is needed.
    """
    facts = device.facts()
    # A 64-bit Arm may or may not run 32-bit programs; only starting one shows it, so we allow the attempt.
    if program.machine == facts.userland or (program.machine, facts.machine) == ("armv7l", "aarch64"):
        return
    raise EdgenetError(
        f"{program.path} is for {program.machine}, and {device.name} is {facts.userland}",
        f"give a {NAME} that was built for {facts.userland}",
    )


def place_program(program: BenchmarkProgram, device: Device, progress: Progress) -> str:
    """Copy the program to the device, unless the same file is already there, and return its path.

    On this machine the program runs from its present path.

    Raises:
        EdgenetError: the program cannot be copied, or the copy has a wrong checksum.
    """
    if isinstance(device, LocalDevice):
        return str(program.path.resolve())
    folder, name = f"{device.home}/tools/{program.sha256[:16]}", f"bin/{NAME}"
    check = script(_CHECK, folder, program.sha256, name)
    if device.run(check).status:
        device.push({name: program.path}, folder, progress)
        progress("verify", 0, None)
        if device.run(check).status:
            raise EdgenetError(
                f"the copy of {program.path.name} on {device.name} has a wrong checksum",
                "run the same command again",
            )
    return f"{folder}/{name}"


# ==== edgenet.benchmark_model.output
# Parsing the output of benchmark_model.
#
# tensorflow/lite/tools/benchmark/benchmark_model.cc prints the timings, tensorflow/lite/profiling and
# xla/tsl/util/stats_calculator.cc print the tables of operators, and tensorflow/lite/core/subgraph.cc
# prints
# what was delegated (only on Android). All versions print the same words, with or without "INFO: ", but
# only
# newer versions print the median.

NOTHING_KNOWN = Delegate(None, None, None, None)
REMEDY = "give TensorFlow Lite's or LiteRT's benchmark_model"
_LINE = r"^(?:INFO: )?"
# The program prints one such line for the warm-up and one for the runs. If all took the same time, it prints
# only `curr`.
_RUNS = re.compile(
    _LINE + r"count=(?P<n>\d+) (?:first=\d+ )?curr=(?P<curr>\d+)(?: ?\(all same\))?"
    r"(?: min=(?P<min>\d+) max=(?P<max>\d+) avg=(?P<avg>[\d.e+]+) std=(?P<std>\d+))?"
    r"(?: p5=\d+ median=(?P<median>\d+) p95=\d+)?\s*$",
    re.MULTILINE,
)
_START = re.compile(
    _LINE + r"Inference timings in us: Init: (?P<init>\d+), First inference: (?P<first>\d+),", re.MULTILINE
)
_REPLACED = re.compile(
    r"Replacing (?P<taken>\d+)(?: out of (?P<total>\d+))? node\(s\) with delegate \((?P<name>\w+)\) node, "
    r"yielding (?P<parts>\d+) partitions"
)
_ALL = "Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate"
_NONE = "Though XNNPACK delegate is explicitly applied, the model graph will not be executed by the delegate"
_PROFILE = "Operator-wise Profiling Info for Regular Benchmark Runs:"
_INTERNAL = "Delegate internal:"
_NODE = re.compile(r"\[(?P<first>.*?)(?:, .*)?\](?::\d+)?")
_DELEGATE_NODE = re.compile(r"DELEGATE|TfLite\w*Delegate")
_COLUMNS = ("[node type]", "[avg ms]", "[times called]", "[Name]")


@dataclass(frozen=True)
class Timings:
    """The timed runs of one process, in milliseconds; the program counts in microseconds.

    Attributes:
        n: number of runs.
        p50_ms: the median; None if the program is too old to report it.
        std_ms: standard deviation of all runs (divisor n), truncated to whole microseconds.
        load_ms: time to read the model and allocate its tensors.
        first_inference_ms: time of the first inference (Invoke).
    """

    n: int
    min_ms: float
    p50_ms: float | None
    max_ms: float
    mean_ms: float
    std_ms: float
    load_ms: float
    first_inference_ms: float


@dataclass(frozen=True)
class OperatorRow:
    """An operator of the network, or an operator that a delegate runs in its place.

    Attributes:
        kind: such as CONV_2D, or the delegate's own name for it.
        output: the name of its output tensor; None for a delegate's operator.
        ms: mean time in one inference, milliseconds.
    """

    kind: str
    output: str | None
    ms: float


def read_timings(text: str) -> Timings:
    """Parse the timings in the output of one process.

    Raises:
        EdgenetError: there are no timings: the program is not benchmark_model, or a very old one.
    """
    both, start = list(_RUNS.finditer(text)), _START.search(text)
    if len(both) != 2 or start is None or both[1]["n"] == "0":
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")
        raise EdgenetError(f"the program printed no timings; its last line is: {last:.200}", REMEDY)
    runs = both[1]
    names = ("curr",) * 3 if runs["avg"] is None else ("min", "max", "avg")
    low, high, mean = (float(runs[name]) / 1e3 for name in names)
    return Timings(
        n=int(runs["n"]),
        min_ms=low,
        p50_ms=None if runs["median"] is None else int(runs["median"]) / 1e3,
        max_ms=high,
        mean_ms=mean,
        std_ms=int(runs["std"] or 0) / 1e3,
        load_ms=int(start["init"]) / 1e3,
        first_inference_ms=int(start["first"]) / 1e3,
    )


def read_delegate(text: str, operators: int | None) -> Delegate:
    """Parse what was delegated, as far as the program reports it.

    Args:
        text: the output of one process.
        operators: number of operators in the network; None if unknown.
    """
    found = _REPLACED.search(text)
    if found and (found["total"] or operators):
        total = int(found["total"] or operators or 0)
        name = found["name"].removeprefix("TfLite").removesuffix("Delegate").upper()
        return Delegate(name, int(found["taken"]), total, int(found["parts"]))
    if operators is not None and _ALL in text:
        return Delegate("XNNPACK", operators, operators, 1)
    if operators is not None and _NONE in text:
        return Delegate(None, 0, operators, 0)
    return NOTHING_KNOWN


def read_operators(text: str) -> tuple[OperatorRow, ...]:
    """Parse the operators in the order in which they ran; a delegate's operators replace its own row.

    Raises:
        EdgenetError: the output has no table of operators.
    """
    _, found, tables = text.partition(_PROFILE)
    network, _, delegate = tables.partition(_INTERNAL)
    rows, within = _table(network), _table(delegate)
    if not found or not rows:
        raise EdgenetError("the program printed no table of operators", REMEDY)
    if not within:
        return tuple(rows)
    first = next((i for i, row in enumerate(rows) if _DELEGATE_NODE.fullmatch(row.kind)), len(rows))
    own = [
        [row for row in part if not _DELEGATE_NODE.fullmatch(row.kind)]
        for part in (rows[:first], rows[first:])
    ]
    return (*own[0], *within, *own[1])


def _table(text: str) -> list[OperatorRow]:
    """Parse the first table in run order: tab-separated cells below the column names, up to an empty line."""
    lines = iter(text.splitlines())
    for line in lines:
        if "= Run Order =" in line:
            break
    names = _cells(next(lines, ""))
    if not set(_COLUMNS) <= set(names):
        return []
    places = [names.index(name) for name in _COLUMNS]
    rows = []
    for line in lines:
        cells = _cells(line)
        if len(cells) != len(names):
            break
        rows += _row(*(cells[place] for place in places))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("\t").split("\t")]


def _row(kind: str, ms: str, times: str, name: str) -> list[OperatorRow]:
    """Return an empty list for a line that is not an operator; `ms` is the mean time of one call."""
    node = _NODE.fullmatch(name)
    if node is None and not name.startswith("Delegate/"):
        return []
    # Older versions give all of a delegate's operators the same kind and put the real kind into the name
    # column.
    told = name.removeprefix("Delegate/").rpartition(":")[0] if kind == "DelegateOpInvoke" else kind
    return [OperatorRow(told, node["first"] if node else None, float(ms) * int(times))]


# ==== edgenet.devices.elf
# Reading a program's target architecture from its ELF header (System V ABI, "ELF Header").

_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_PROGRAMS = (2, 3)  # ET_EXEC and ET_DYN: linkers produce programs of either type


def program_machine(path: Path) -> str:
    """Return the architecture that a program was built for, named as in `DeviceFacts.userland`.

    Raises:
        EdgenetError: the file cannot be read, or is not a program for Linux or Android.
    """
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise EdgenetError(f"cannot read the program {path}: {error.strerror}", "check the path") from None
    order = "<" if head[5:6] == b"\1" else ">"
    kind, number = struct.unpack_from(f"{order}HH", head, 16) if len(head) == 20 else (0, 0)
    if head[:4] != b"\x7fELF" or kind not in _PROGRAMS:
        what = (
            "it does not begin as ELF files do"
            if head[:4] != b"\x7fELF"
            else "it is another kind of ELF file"
        )
        raise EdgenetError(
            f"{path} is not a program for Linux or Android: {what}", "give the program file itself, unpacked"
        )
    return _MACHINES.get(number, f"machine {number}")
