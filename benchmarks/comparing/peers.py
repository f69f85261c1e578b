"""The compared tools: edgenet's recipes and the peers, the packages of each, and the client that runs its files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.environments import ROOT, python_of, site_packages
from benchmarks.normalizations import as_text
from benchmarks.processes import installed_sizes
from benchmarks.quantizing.converters import (
    KERAS,
    PEERS,
    Converter,
    keras_converter,
    our_code,
    our_name,
    recipe_converter,
)
from benchmarks.quantizing.networks import Network

OURS, OURS_AS_PEERS = our_name("balanced"), our_name("minmax")
_RECIPES = ("balanced", "minmax")
# Only those packages of edgenet whose versions matter here are named; the ones that these require count too.
_OUR_PACKAGES = ("edgenet", "torch", "numpy", "onnx", "ai-edge-litert", "opencv-python")


@dataclass(frozen=True)
class Peer:
    """One way from weights and photos to an int8 file that runs.

    Attributes:
        converter: its converter.
        python: the interpreter of its environment.
        packages: the packages to install there; those that they require come with them.
        client: the module that runs its files in that environment; None if LiteRT runs them.
        from_onnx: whether it starts from an .onnx, which PyTorch has to write first.
    """

    converter: Converter
    python: Path
    packages: tuple[str, ...]
    client: str | None = None
    from_onnx: bool = False

    @property
    def name(self) -> str:
        """Return the name in tables."""
        return self.converter.name


ONNX_WRITER = ("torch", "onnx")
"""The packages that write an .onnx with PyTorch's own exporter; those that they require come with them."""


def our_peers() -> tuple[Peer, ...]:
    """Return edgenet's default recipe, and `minmax`, which does the same as the peers."""
    python = Path(sys.executable)
    return tuple(Peer(recipe_converter(recipe), python, _OUR_PACKAGES) for recipe in _RECIPES)


def open_peers(keys: tuple[str, ...], inputs: Path) -> tuple[Peer, ...]:
    """Return peers by their keys in `OPENERS`; make their environments if they are missing.

    Args:
        inputs: folder with the networks as .onnx; see `logits_file`.

    Raises:
        EdgenetError: an environment cannot be made.
    """
    return tuple(OPENERS[key](inputs) for key in keys)


def logits_file(inputs: Path, network: str) -> Path:
    """Return the path of a network as .onnx."""
    return inputs / f"{network}_logits.onnx"


def probability_file(inputs: Path, network: str) -> Path:
    """Return the path of a network as .onnx that ends in a softmax."""
    return inputs / f"{network}_probability.onnx"


def requirements_of(key: str) -> Path:
    """Return the requirements file of the environment `key`."""
    return PEERS / key / "requirements.txt"


def named_in(requirements: Path) -> tuple[str, ...]:
    """Return the packages that a requirements file names, without those for another Python."""
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    return tuple(one.name for one in found if one.marker is None or one.marker.evaluate())


def packages_mb(*wanted: tuple[Path, tuple[str, ...]]) -> float:
    """Return the size of packages and of everything that they require, MB.

    Args:
        wanted: pairs of an interpreter and the packages in its environment; a package in several counts once.
    """
    sizes: dict[str, int] = {}
    for python, packages in wanted:
        sizes = installed_sizes(site_packages(python), packages) | sizes
    return sum(sizes.values()) / 1e6


def versions_of(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of the packages in the environment of `python`."""
    wanted = {canonicalize_name(name) for name in packages}
    there = distributions(path=[str(site_packages(python))])
    found = {canonicalize_name(one.metadata["Name"]): one.version for one in there}
    return {name: found[name] for name in sorted(wanted & found.keys())}


def _keras(inputs: Path) -> Peer:
    requirements = requirements_of("keras_tflite")
    return Peer(keras_converter(KERAS, ()), python_of("keras_tflite", requirements), named_in(requirements))


def _onnx_tf(inputs: Path) -> Peer:
    requirements = requirements_of("onnx_tf")
    python = python_of("onnx_tf", requirements)

    def command(network: Network, photos: Path, out: Path) -> list[str]:
        program = [str(python), "-m", "edgenet", "convert", str(network.source), "--backend", "onnx-tf"]
        return [*program, "--calibration", str(photos), "--photos", "100", "--out", str(out)]

    code = (*our_code(), ROOT / "edgenet" / "onnx_tf.py", requirements)
    converter = Converter("onnx-tf", None, command, code, _takes)
    return Peer(converter, python, named_in(requirements))


def _onnx2tf(inputs: Path) -> Peer:
    peer = _scripted("onnx2tf", "onnx2tf", lambda network: probability_file(inputs, network.key))
    return replace(peer, from_onnx=True)


def _litert_torch(inputs: Path) -> Peer:
    return _scripted("litert_torch", "litert-torch + ai-edge-quantizer", _weights)


def _onnxruntime(inputs: Path) -> Peer:
    peer = _scripted("onnxruntime", "ONNX Runtime", lambda network: logits_file(inputs, network.key), ".onnx")
    return replace(peer, from_onnx=True)


def _executorch(inputs: Path) -> Peer:
    return _scripted("executorch", "ExecuTorch", _weights, ".pte")


def _scripted(key: str, name: str, source: Callable[[Network], Path], suffix: str = ".tflite") -> Peer:
    """Return a peer with its own folder; the folder has a client.py if LiteRT cannot run the file of convert.py."""
    requirements = requirements_of(key)
    python = python_of(key, requirements)
    module = f"benchmarks.peers.{key}"

    def command(network: Network, photos: Path, out: Path) -> list[str]:
        program = [str(python), "-m", f"{module}.convert", str(source(network))]
        return [*program, str(photos), str(out), as_text(network.normalization)]

    code = (PEERS / key / "convert.py", requirements, PEERS / "calibration.py", ROOT / "edgenet" / "zoo")
    client = None if suffix == ".tflite" else f"{module}.client"
    converter = Converter(name, None, command, code, _takes, suffix)
    return Peer(converter, python, named_in(requirements), client)


def _weights(network: Network) -> Path:
    return network.source


def _takes(network: Network) -> bool:
    return True


OPENERS: Mapping[str, Callable[[Path], Peer]] = {
    "keras": _keras,
    "onnx2tf": _onnx2tf,
    "litert-torch": _litert_torch,
    "onnx-tf": _onnx_tf,
    "onnxruntime": _onnxruntime,
    "executorch": _executorch,
}
