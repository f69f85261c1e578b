"""Make every file that a run of the int8 benchmark needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.quantizing.conversions import Converted, Workshop, convert
from benchmarks.quantizing.converters import Converter, float_converter, keras_float, peers, recipe_converter
from benchmarks.quantizing.inputs import draw_name
from benchmarks.quantizing.networks import OWN, Network, open_network, own_source
from benchmarks.quantizing.totals import CALIBRATION_DATA
from edgenet.errors import EdgenetError


@dataclass(frozen=True)
class Plan:
    """The run that the command line asks for.

    Attributes:
        networks: keys from `networks.KEYS`.
        recipes: edgenet's recipes to run.
        sensitivity: the recipes among them that also run with few photos, and with photos from another source.
        other_sets: the names of these further calibration sets.
        draws: number of disjoint calibration sets of 100 photos; fewer for a network that has photos for fewer.
        with_peers: also run the other tools.
        latency: also time a network with and without its dead channels.
        data: folder with the weights and the photos.
    """

    networks: tuple[str, ...]
    recipes: tuple[str, ...]
    sensitivity: tuple[str, ...]
    other_sets: tuple[str, ...]
    draws: int
    with_peers: bool
    latency: bool
    data: Path


@dataclass(frozen=True)
class Made:
    """All files of a run.

    Attributes:
        networks: the networks by key.
        floats: our float files by the network's key.
        references: other tools' float files.
        files: the int8 files.
    """

    networks: dict[str, Network]
    floats: dict[str, Path]
    references: tuple[Converted, ...]
    files: tuple[Converted, ...]


def make_files(plan: Plan, work: Path, again: bool) -> Made:
    """Convert everything, one process after the other.

    Args:
        work: folder for inputs and files.
        again: also make the files that are kept there from an earlier run.

    Raises:
        EdgenetError: data are missing, or an environment or a float file cannot be made.
    """
    inputs, workshop = work / "inputs", Workshop(work / "files", again)
    prepare_inputs(plan.data, inputs, plan.networks)
    networks = {key: open_network(key, plan.data, inputs) for key in plan.networks}
    floats = {key: float_file(workshop, network) for key, network in networks.items()}
    references = [_makers_file(one) for one in networks.values() if one.source.suffix == ".tflite"]
    ours = [recipe_converter(recipe) for recipe in plan.recipes]
    others: tuple[Converter, ...] = ()
    if plan.with_peers:
        others, keras = peers(floats), keras_float()
        references += [_of_first_draw(workshop, keras, one) for one in networks.values() if keras.takes(one)]
    files: list[Converted] = []
    for network in networks.values():
        files += _draws(workshop, [*ours, *others], network, plan.draws)
        some = [one for one in ours if one.recipe in plan.sensitivity]
        files += _other_sets(workshop, some, network, plan.other_sets)
    return Made(networks, floats, tuple(references), tuple(files))


def prepare_inputs(data: Path, inputs: Path, networks: Sequence[str]) -> None:
    """Fill the folder `inputs`; see `benchmarks.quantizing.inputs`.

    Raises:
        EdgenetError: data are missing, or the inputs cannot be made.
    """
    untrained = [key for key in networks if key in OWN and not own_source(inputs, key).is_file()]
    if untrained:
        print(f"training {', '.join(untrained)} (once, minutes) ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.quantizing.inputs", str(data), str(inputs)]
    done = subprocess.run([*command, *networks], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise EdgenetError((done.stderr.strip().splitlines() or ["the inputs could not be made"])[-1])


def float_file(workshop: Workshop, network: Network) -> Path:
    """Return our float .tflite of a network.

    Raises:
        EdgenetError: it cannot be converted.
    """
    made = _of_first_draw(workshop, float_converter(), network)
    if made.path is None:
        raise EdgenetError(f"{network.title} cannot be converted to float: {made.error}")
    return made.path


def _makers_file(network: Network) -> Converted:
    """Return the float file that a network is read from, to show that ours computes the same."""
    return Converted(network.key, "the maker's own file", draw_name(0), network.source, None, 0.0, 0.0, None)


def _of_first_draw(workshop: Workshop, converter: Converter, network: Network) -> Converted:
    """Make a float file. Its name is that of the first draw, because it is judged on the photos outside that draw."""
    return convert(workshop, converter, network, network.photos / draw_name(0), draw_name(0))


def _draws(
    workshop: Workshop, converters: Sequence[Converter], network: Network, draws: int
) -> list[Converted]:
    """Run the converters in turns, so that a slow spell of the machine hits all of them."""
    names = [name for name in map(draw_name, range(draws)) if (network.photos / name).is_dir()]
    return [
        convert(workshop, converter, network, network.photos / name, name)
        for name in names
        for converter in converters
        if converter.takes(network)
    ]


def _other_sets(
    workshop: Workshop, converters: Sequence[Converter], network: Network, names: Sequence[str]
) -> list[Converted]:
    folders = {CALIBRATION_DATA: ROOT / CALIBRATION_DATA}
    return [
        convert(workshop, one, network, folders.get(name, network.photos / name), name)
        for one in converters
        for name in names
    ]
