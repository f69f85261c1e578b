"""The LiteRT runtime, which every report names, and which part of a network its delegate runs.

The runtime is `ai-edge-litert` where that works, else `tflite-runtime` (32-bit Raspberry Pi OS, Python 3.9),
which needs numpy below 2.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import asdict, dataclass
from importlib import util
from typing import Any

import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import one_line
from edgenet_device.model_file import ModelFile
from edgenet_device.streams import quiet_native_stderr
from edgenet_device.trial import run_in_child_first

_CANDIDATES = (("ai-edge-litert", "ai_edge_litert"), ("tflite-runtime", "tflite_runtime"))
_INSTALL = (
    "pip install ai-edge-litert (Raspberry Pi OS, whose pip installs only into environments: python3 -m venv "
    "--system-site-packages environment, then environment/bin/pip install --no-deps ai-edge-litert, on a 32-bit system "
    "tflite-runtime, and start the script with environment/bin/python)"
)


@dataclass(frozen=True)
class Runtime:
    """A runtime that was imported.

    Attributes:
        name: the runtime's name on PyPI.
        version: its version; None when it states none.
        interpreter: its class `Interpreter`.
    """

    name: str
    version: str | None
    interpreter: Any


def load_runtime() -> Runtime:
    """Import the first runtime that works.

    Raises:
        EdgenetError: none is installed or none can be imported; the message says why and what to install.
    """
    failures: list[str] = []
    for name, package in _CANDIDATES:
        if util.find_spec(package) is None:
            continue
        if package == "tflite_runtime" and int(np.__version__.split(".")[0]) >= 2:
            # Checked first, because the failing import would print pages of text.
            failures.append(f"{name} needs numpy below 2, found {np.__version__}")
            continue
        try:
            module = importlib.import_module(f"{package}.interpreter")
        except (ImportError, OSError, AttributeError) as error:
            failures.append(f"{name} cannot be imported: {reason_of(error)}")
            continue
        return Runtime(name, _version(name, package), module.Interpreter)
    raise EdgenetError("; ".join(failures) or "no LiteRT runtime is installed", _INSTALL)


_MOST_THREADS = 1024
REFUSALS = (ValueError, RuntimeError, UnicodeDecodeError, MemoryError)
"""What a runtime raises for a model that it cannot load or run."""


def make_interpreter(runtime: Runtime, model: ModelFile, threads: int, trusted: bool = False) -> Any:
    """Return an interpreter with its tensors allocated and its delegate applied.

    A model that this machine has not run before runs once in a child process first (see `trial`).

    Args:
        trusted: leave the child process out, for a model that edgenet has just made itself, or that has run here.

    Raises:
        EdgenetError: the runtime refuses the model or does not survive it, or `threads` is below 1 or above 1,024.
    """
    if threads < 1:
        raise EdgenetError(f"{threads} threads requested", "give at least 1")
    if (
        threads > _MOST_THREADS
    ):  # the runtime takes no number beyond 32 bits, and would start that many threads
        raise EdgenetError(f"{threads} threads requested", f"give at most {_MOST_THREADS:,}")
    if not trusted:
        run_in_child_first(model, f"{runtime.name} {runtime.version}", threads)
    try:
        return bare_interpreter(runtime, model.data, threads)
    except REFUSALS as error:
        raise EdgenetError(
            f"{runtime.name} {runtime.version} cannot load {model.path}: {reason_of(error)}",
            "convert the model again",
        ) from error


def bare_interpreter(runtime: Runtime, data: bytes, threads: int) -> Any:
    """Return what `make_interpreter` returns, without trying the model first.

    Raises:
        REFUSALS: the runtime refuses the model.
    """
    with quiet_native_stderr():
        interpreter = runtime.interpreter(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


def reason_of(error: BaseException) -> str:
    """Return what an exception says as one line, or its type if it says nothing."""
    return one_line(str(error)) or type(error).__name__


def _version(name: str, package: str) -> str | None:
    stated = getattr(importlib.import_module(package), "__version__", None)
    if stated:
        return str(stated)
    from importlib import metadata  # late, as it takes a tenth of the time of a start on a Raspberry Pi

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Delegate:
    """What was delegated. None means unknown; nothing is guessed.

    Attributes:
        name: "XNNPACK", or None when nothing was delegated or that is unknown.
        nodes_taken: operators of the network that the delegate runs.
        nodes_total: operators of the network.
        partitions: connected parts of the network that the delegate runs; 1 is best.
    """

    name: str | None
    nodes_taken: int | None
    nodes_total: int | None
    partitions: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes as a dictionary, for reports."""
        return asdict(self)

    def describe(self) -> str:
        """Return one phrase, such as "XNNPACK, 33 of 33 nodes in 1 partition"."""
        if self.nodes_total is None:
            return "unknown"
        if not self.partitions:
            return f"none: the built-in kernels run all {self.nodes_total} nodes"
        plural = "" if self.partitions == 1 else "s"
        return f"{self.name}, {self.nodes_taken} of {self.nodes_total} nodes in {self.partitions} partition{plural}"


def read_operators(interpreter: Any) -> list[dict[str, Any]] | None:
    """Return the main subgraph's nodes with op_name, inputs and outputs; None if they are unknown.

    `_get_ops_details` is private, but there is no other way; both runtimes have had it since 2020.
    """
    try:
        return list(interpreter._get_ops_details())
    # A private interface may vanish or change in any way; the answer is then "unknown".
    except Exception:
        return None


def operator_kinds(interpreter: Any) -> list[str] | None:
    """Return the kinds of the network's own operators in order; None if they are unknown."""
    nodes = read_operators(interpreter)
    return None if nodes is None else [node["op_name"] for node in nodes if node["op_name"] != "DELEGATE"]


def find_delegate(interpreter: Any) -> Delegate:
    """Find out what was delegated, after `allocate_tensors`.

    Each delegated part appears as a node DELEGATE after the original nodes, which stay listed. Its inputs are
    the tensors that the part reads from outside; its outputs are the tensors that nodes outside read. So the
    delegated nodes are those met on the way back from its outputs to its inputs. These scripts never load a
    delegate, and the only one that both runtimes apply by themselves is XNNPACK: hence the name.
    """
    nodes = read_operators(interpreter)
    if nodes is None:
        return Delegate(None, None, None, None)
    own, parts, taken = _parted(nodes)
    return Delegate("XNNPACK" if parts else None, len(taken), len(own), len(parts))


def has_delegate() -> bool:
    """Return whether the runtime delegates anything on this kind of machine.

    tflite-runtime 2.14.0, the last one for 32-bit Arm, delegates no network there.
    """
    return sys.maxsize > 2**32


def operators_outside_the_delegate(interpreter: Any) -> list[int] | None:
    """Return the places of the network's operators that were not delegated; None if they are unknown."""
    nodes = read_operators(interpreter)
    if nodes is None:
        return None
    own, _, taken = _parted(nodes)
    return [index for index in range(len(own)) if index not in taken]


def _parted(nodes: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], set[int]]:
    """Return the network's own nodes, the delegated parts, and the places of the nodes within those parts."""
    parts = [node for node in nodes if node["op_name"] == "DELEGATE"]
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]
    maker = {int(tensor): index for index, node in enumerate(own) for tensor in node["outputs"]}
    taken: set[int] = set()
    for part in parts:
        taken |= _nodes_between(own, maker, part)
    return own, parts, taken


def _nodes_between(own: list[dict[str, Any]], maker: dict[int, int], part: dict[str, Any]) -> set[int]:
    outside = {int(tensor) for tensor in part["inputs"]}
    waiting = [int(tensor) for tensor in part["outputs"]]
    found: set[int] = set()
    while waiting:
        tensor = waiting.pop()
        index = maker.get(tensor)
        if tensor in outside or index is None or index in found:
            continue
        found.add(index)
        waiting += [int(tensor) for tensor in own[index]["inputs"]]
    return found
