"""Making every file that a run of the int8 benchmark asks for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.quantizing.contenders import Contender, float_contender, keras_float, peers, recipe_contender
from benchmarks.quantizing.conversions import Converted, Workshop, convert
from benchmarks.quantizing.goals import CALIBRATION_DATA
from benchmarks.quantizing.inputs import FEW_NAME, draw_name
from benchmarks.quantizing.networks import Network, open_network
from edgenet.errors import EdgenetError


@dataclass(frozen=True)
class Plan:
    """What is to be done, as the command line says it.

    Attributes:
        networks: keys of `networks.KEYS`.
        recipes: of edgenet.
        sensitivity: those of them that are tried with few photos, and with photos of another source, too.
        draws: disjoint calibration sets of 100 photos.
        with_peers: other tools too.
        latency: also time a network with and without its dead channels.
        data: folder with the weights and the photos.
    """

    networks: tuple[str, ...]
    recipes: tuple[str, ...]
    sensitivity: tuple[str, ...]
    draws: int
    with_peers: bool
    latency: bool
    data: Path


@dataclass(frozen=True)
class Made:
    """All files of a run.

    Attributes:
        networks: by key.
        inputs: the folder with the photos.
        floats: our float file, by the network's key.
        references: other tools' float files.
        files: the int8 files.
    """

    networks: dict[str, Network]
    inputs: Path
    floats: dict[str, Path]
    references: tuple[Converted, ...]
    files: tuple[Converted, ...]


def make_files(plan: Plan, work: Path, again: bool) -> Made:
    """Converts everything, one process after the other.

    Args:
        work: folder for inputs and files.
        again: make files anew that are there.

    Raises:
        EdgenetError: data are missing, an environment cannot be made, or a float file cannot.
    """
    inputs, workshop = work / "inputs", Workshop(work / "files", again)
    prepare_inputs(plan.data, inputs, plan.networks)
    networks = {key: open_network(key, plan.data, inputs) for key in plan.networks}
    floats = {key: float_file(workshop, network, inputs) for key, network in networks.items()}
    references: list[Converted] = []
    ours, others = [recipe_contender(recipe) for recipe in plan.recipes], ()
    if plan.with_peers:
        others, keras = peers(floats), keras_float()
        references = [
            _of_first_draw(workshop, keras, one, inputs) for one in networks.values() if keras.takes(one)
        ]
    files: list[Converted] = []
    for network in networks.values():
        files += _draws(workshop, [*ours, *others], network, inputs, plan.draws)
        files += _other_sets(
            workshop, [one for one in ours if one.recipe in plan.sensitivity], network, inputs
        )
    return Made(networks, inputs, floats, tuple(references), tuple(files))


def prepare_inputs(data: Path, inputs: Path, networks: Sequence[str]) -> None:
    """Fills the folder `inputs`; see `benchmarks.quantizing.inputs`.

    Raises:
        EdgenetError: data are missing, or it failed.
    """
    command = [sys.executable, "-m", "benchmarks.quantizing.inputs", str(data), str(inputs)]
    done = subprocess.run([*command, *networks], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise EdgenetError((done.stderr.strip().splitlines() or ["the inputs could not be made"])[-1])


def float_file(workshop: Workshop, network: Network, inputs: Path) -> Path:
    """Our float .tflite of a network.

    Raises:
        EdgenetError: it cannot be converted.
    """
    made = _of_first_draw(workshop, float_contender(), network, inputs)
    if made.path is None:
        raise EdgenetError(f"{network.title} cannot be converted to float: {made.error}")
    return made.path


def _of_first_draw(workshop: Workshop, contender: Contender, network: Network, inputs: Path) -> Converted:
    """A float file; what it is called says that it is judged on the photos that the first draw leaves."""
    return convert(workshop, contender, network, inputs / draw_name(0), draw_name(0))


def _draws(
    workshop: Workshop, contenders: Sequence[Contender], network: Network, inputs: Path, draws: int
) -> list[Converted]:
    """The contenders in turns, so that a slow spell of the machine hits all of them."""
    return [
        convert(workshop, contender, network, inputs / draw_name(draw), draw_name(draw))
        for draw in range(draws)
        for contender in contenders
        if contender.takes(network)
    ]


def _other_sets(
    workshop: Workshop, contenders: Sequence[Contender], network: Network, inputs: Path
) -> list[Converted]:
    sets = {FEW_NAME: inputs / FEW_NAME, CALIBRATION_DATA: ROOT / CALIBRATION_DATA}
    return [
        convert(workshop, one, network, folder, name) for one in contenders for name, folder in sets.items()
    ]
