"""Who quantizes: edgenet's recipes and the peers, each as a command that is given photos and writes a .tflite."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import edgenet
from benchmarks.environments import ROOT, python_of
from benchmarks.quantizing.networks import Network

PEERS = ROOT / "benchmarks" / "peers"
AI_EDGE, AI_EDGE_MINMAX, KERAS = "ai-edge-quantizer", "ai-edge-quantizer min/max", "Keras TFLiteConverter"
PEER_NAMES = (AI_EDGE, AI_EDGE_MINMAX, KERAS)
# What a conversion passes through: a change in it makes kept files stale.
_OURS = (
    "edgenet/data",
    "edgenet/graph",
    "edgenet/quantize",
    "edgenet/tflite",
    "edgenet/zoo",
    "edgenet/verbs",
)
_OUR_CODE = (*_OURS, "device_scripts/photos.py", "device_scripts/preprocess.py")

Command = Callable[[Network, Path, Path], list[str]]


@dataclass(frozen=True)
class Contender:
    """One way of quantizing.

    Attributes:
        name: in tables.
        recipe: the recipe's name where it is edgenet, else None.
        command: what to run for (network, folder of photos, output file).
        code: files and folders whose change means that the outcome may be another.
        takes: whether it has this network.
        suffix: of the file that it writes.
    """

    name: str
    recipe: str | None
    command: Command
    code: tuple[Path, ...]
    takes: Callable[[Network], bool]
    suffix: str = ".tflite"


def our_name(recipe: str) -> str:
    """What tables call edgenet with a recipe."""
    return f"edgenet {recipe}"


def recipe_contender(recipe: str) -> Contender:
    """`edgenet convert --recipe RECIPE`, with 100 photos at most."""

    def command(network: Network, photos: Path, out: Path) -> list[str]:
        options = ["--calibration", str(photos), "--photos", "100", "--recipe", recipe]
        return [*_edgenet(network), *options, "--out", str(out)]

    return Contender(our_name(recipe), recipe, command, our_code(), lambda network: True)


def float_contender() -> Contender:
    """`edgenet convert --float`: what everything is held against; it reads no photos."""

    def command(network: Network, photos: Path, out: Path) -> list[str]:
        return [*_edgenet(network), "--float", "--out", str(out)]

    return Contender("edgenet float", None, command, our_code(), lambda network: True)


def peers(floats: dict[str, Path]) -> tuple[Contender, ...]:
    """The other tools, their environments made where they are not there yet.

    Args:
        floats: our float .tflite by network's key: AI Edge Quantizer has no other way to these weights.

    Raises:
        EdgenetError: an environment cannot be made.
    """
    folder = PEERS / "ai_edge_quantizer"
    python = python_of("ai_edge_quantizer", folder / "requirements.txt")

    def ai_edge(ranges: str) -> Command:
        script = [str(python), str(folder / "convert.py")]
        return lambda network, photos, out: [
            *script,
            *(str(floats[network.key]), str(photos), str(out), "--ranges", ranges),
        ]

    return (
        Contender(AI_EDGE, None, ai_edge("documented"), (folder,), lambda network: True),
        Contender(AI_EDGE_MINMAX, None, ai_edge("minmax"), (folder,), lambda network: True),
        keras_contender(KERAS, ()),
    )


def keras_float() -> Contender:
    """Keras' network, not quantized: shows that it is the same network."""
    return keras_contender("Keras float", ("--float",))


def keras_contender(name: str, options: Sequence[str]) -> Contender:
    """TensorFlow's own way, where Keras has the network.

    Raises:
        EdgenetError: the environment cannot be made.
    """
    folder = PEERS / "keras_tflite"
    python = python_of("keras_tflite", folder / "requirements.txt")

    def command(network: Network, photos: Path, out: Path) -> list[str]:
        script = [str(python), str(folder / "convert.py")]
        return [*script, str(network.arrays), str(photos), str(out), *options]

    return Contender(name, None, command, (folder,), lambda network: network.arrays is not None)


def _edgenet(network: Network) -> list[str]:
    return [sys.executable, "-m", "edgenet", "convert", str(network.source), *network.options]


def our_code() -> tuple[Path, ...]:
    """Edgenet's, of the package that this process imports, and so do those that it starts in the same folder."""
    root = Path(edgenet.__file__).resolve().parents[1]
    return tuple(root / name for name in _OUR_CODE)
