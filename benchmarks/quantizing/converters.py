"""The converters of the int8 benchmark: edgenet's recipes and the peers, each as a command that writes a .tflite."""

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
# The code that `edgenet convert` runs: a kept file is made again when any of it changes.
_OUR_CODE = (
    "device_scripts/edgenet_device/frames/photos.py",
    "device_scripts/edgenet_device/preprocess.py",
    "edgenet/accuracy.py",
    "edgenet/commands/convert.py",
    "edgenet/data",
    "edgenet/graph",
    "edgenet/quantize",
    "edgenet/tflite",
    "edgenet/workflows",
    "edgenet/zoo",
)

Command = Callable[[Network, Path, Path], list[str]]


@dataclass(frozen=True)
class Converter:
    """One way of quantizing.

    Attributes:
        name: its name in tables.
        recipe: the recipe's name if the converter is edgenet, else None.
        command: returns the command for (network, folder of photos, output file).
        code: files and folders of its code; when they change, kept files are made again.
        takes: whether it can convert this network.
        suffix: suffix of the file that it writes.
    """

    name: str
    recipe: str | None
    command: Command
    code: tuple[Path, ...]
    takes: Callable[[Network], bool]
    suffix: str = ".tflite"


def our_name(recipe: str) -> str:
    """Return the name of edgenet with a recipe in tables."""
    return f"edgenet {recipe}"


def recipe_converter(recipe: str) -> Converter:
    """Return `edgenet convert --recipe RECIPE`, with at most 100 photos."""

    def command(network: Network, photos: Path, out: Path) -> list[str]:
        options = ["--calibration", str(photos), "--photos", "100", "--recipe", recipe]
        return [*_edgenet(network), *options, "--out", str(out)]

    return Converter(our_name(recipe), recipe, command, our_code(), lambda network: True)


def float_converter() -> Converter:
    """Return `edgenet convert --float`, whose file is the reference for all others; it reads no photos."""

    def command(network: Network, photos: Path, out: Path) -> list[str]:
        return [*_edgenet(network), "--float", "--out", str(out)]

    return Converter("edgenet float", None, command, our_code(), lambda network: True)


def peers(floats: dict[str, Path]) -> tuple[Converter, ...]:
    """Return the other tools; make their environments if they are missing.

    Args:
        floats: our float .tflite by the network's key; AI Edge Quantizer starts from it.

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
        Converter(AI_EDGE, None, ai_edge("documented"), (folder,), lambda network: True),
        Converter(AI_EDGE_MINMAX, None, ai_edge("minmax"), (folder,), lambda network: True),
        keras_converter(KERAS, ()),
    )


def keras_float() -> Converter:
    """Return Keras' converter without quantization, which shows that Keras has the same network."""
    return keras_converter("Keras float", ("--float",))


def keras_converter(name: str, options: Sequence[str]) -> Converter:
    """Return TensorFlow's own converter, for the networks that Keras has.

    Raises:
        EdgenetError: the environment cannot be made.
    """
    folder = PEERS / "keras_tflite"
    python = python_of("keras_tflite", folder / "requirements.txt")

    def command(network: Network, photos: Path, out: Path) -> list[str]:
        script = [str(python), str(folder / "convert.py")]
        return [*script, str(network.arrays), str(photos), str(out), *options]

    return Converter(name, None, command, (folder,), lambda network: network.arrays is not None)


def _edgenet(network: Network) -> list[str]:
    return [sys.executable, "-m", "edgenet", "convert", str(network.source), *network.options]


def our_code() -> tuple[Path, ...]:
    """Return edgenet's code that affects a converted file, as files and folders.

    It is the code of the package that this process imports; the processes that it starts import the same one.
    """
    root = Path(edgenet.__file__).resolve().parents[1]
    return tuple(root / name for name in _OUR_CODE)
