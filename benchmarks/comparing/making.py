"""Make every file of a run and measure the cost of each process; the calling process must use little memory."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparing.peers import OURS, Peer, logits_file, open_peers, our_peers, probability_file
from benchmarks.pipelines import Pair, first_label_commands, mediapipe_python
from benchmarks.processes import ProcessCost, measure
from benchmarks.quantizing.conversions import Converted, Workshop, convert
from benchmarks.quantizing.inputs import draw_name
from benchmarks.quantizing.networks import Network, open_network
from benchmarks.quantizing.plan import float_file, prepare_inputs
from edgenet.errors import EdgenetError

NETWORKS = ("v1", "v2")
STARTS = 5
CALIBRATION = draw_name(0)


@dataclass(frozen=True)
class Plan:
    """The run that the command line asks for.

    Attributes:
        networks: keys from `NETWORKS`.
        peers: keys from `peers.OPENERS`.
        pipelines: also compare the pipelines from a picture to its labels.
        data: folder with the weights and the photos.
    """

    networks: tuple[str, ...]
    peers: tuple[str, ...]
    pipelines: bool
    data: Path


@dataclass(frozen=True)
class Start:
    """Cost of a pipeline's process that classifies one picture: medians over `STARTS` processes."""

    wall_s: float
    peak_mib: float


@dataclass(frozen=True)
class Made:
    """All files of one network.

    Attributes:
        float_file: our float file.
        files: the file of each peer, including ours.
        pair: the files that pipelines run; None if pipelines are not compared.
        starts: cost of starting each pipeline, by name.
        onnx: cost of writing the network as .onnx, which is added for the peers that start from one.
    """

    network: Network
    float_file: Path
    files: tuple[tuple[Peer, Converted], ...]
    pair: Pair | None
    starts: dict[str, Start]
    onnx: ProcessCost


def make_files(plan: Plan, work: Path, again: bool) -> list[Made]:
    """Convert everything, one process after the other.

    Args:
        work: folder for inputs and files.
        again: also make the files that are kept there from an earlier run.

    Raises:
        EdgenetError: data are missing, or an environment or our own file cannot be made.
    """
    inputs, workshop = work / "inputs", Workshop(work / "files", again)
    prepare_inputs(plan.data, inputs, plan.networks)
    peers = (*our_peers(), *open_peers(plan.peers, inputs))
    made = []
    for key in plan.networks:
        network = open_network(key, plan.data, inputs)
        onnx = _write_onnx(network, inputs)
        real = float_file(workshop, network)
        files = tuple(
            (peer, convert(workshop, peer.converter, network, network.photos / CALIBRATION, CALIBRATION))
            for peer in peers
        )
        ours = _our_file(files)
        pair = Pair(network.title, ours, real) if plan.pipelines else None
        starts = _starts(pair, network.photos) if pair else {}
        made.append(Made(network, real, files, pair, starts, onnx))
    return made


def _write_onnx(network: Network, inputs: Path) -> ProcessCost:
    files = [str(name(inputs, network.key)) for name in (logits_file, probability_file)]
    command = [sys.executable, "-m", "benchmarks.comparing.onnx_files", str(network.source), *files]
    return measure(command, inputs / "onnx.log")


def _our_file(files: tuple[tuple[Peer, Converted], ...]) -> Path:
    """Return our file by the default recipe, the reference for all others.

    Raises:
        EdgenetError: it could not be converted.
    """
    ours = next(converted for peer, converted in files if peer.name == OURS)
    if ours.path is None:
        raise EdgenetError(f"{OURS} could not convert {ours.network}: {ours.error}")
    return ours.path


def _starts(pair: Pair, photos: Path) -> dict[str, Start]:
    """Measure processes that each classify one picture, in turns."""
    picture = next((photos / CALIBRATION).glob("*.png"))
    commands = first_label_commands(pair, picture, mediapipe_python())
    log = photos.parent / "pipelines.log"
    costs = [
        {name: measure([str(part) for part in command], log) for name, command in commands.items()}
        for _ in range(STARTS)
    ]
    return {
        name: Start(
            statistics.median(turn[name].wall_s for turn in costs),
            statistics.median(turn[name].peak_mib for turn in costs),
        )
        for name in commands
    }
