"""Targets that read .tflite files and bundles, on the host and on the device."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mutations import MUTATIONS as TFLITE_MUTATIONS

from edgenet.bundle import open_bundle, write_bundle
from edgenet.errors import EdgenetError
from edgenet.files import sha256, stored_zip
from tools.fuzz.forks import Forks
from tools.fuzz.mutations import BINARY, json_changed, members_changed, unpacked, words_put_in, zip_changed
from tools.fuzz.verdicts import Check, refusable
from tools.fuzz.workers import Target

_TFLITE = tuple(TFLITE_MUTATIONS.values())


@cache
def tflite_seeds() -> dict[str, bytes]:
    """Return small files with every layer, with and without metadata, and the forms of other tools."""
    from survival import whole_files
    from tiny_model import tiny_model

    return {"tiny": tiny_model(), **whole_files()}


def tflite_on_the_host(folder: Path) -> Check:
    """Read a .tflite as `convert`, `evaluate` and `inspect` do, write it again, and read what was written."""
    # Imported late: the other targets here run without torch.
    from edgenet_device.model_file import verified
    from survival import _is_small, _photo

    from edgenet.graph.executor import run
    from edgenet.graph.lower import lower
    from edgenet.tflite.flatbuffer import read_tflite, write_tflite
    from edgenet.tflite.forms import without_softmax
    from edgenet.tflite.from_graph import float_program
    from edgenet.tflite.to_graph import float_graph, quantized_graph
    from edgenet.workflows.inspect import inspect
    from edgenet.workflows.sources import SourceOptions, open_source

    path = folder / "net.tflite"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        for read in (
            lambda: float_graph(read_tflite(data, "net")),
            lambda: quantized_graph(read_tflite(data, "net")),
        ):
            refusable(read)
        refusable(lambda: inspect(path))
        refusable(lambda: without_softmax(verified(data, "net")))
        source = refusable(lambda: open_source(str(path), SourceOptions(normalization="-1..1")))
        source = source or open_source(str(path), SourceOptions())
        written = write_tflite(float_program(lower(source.graph, exact_border=True)))
        if _is_small(source.graph):
            run(source.graph, _photo(source.graph))
            float_graph(read_tflite(written, "written"))

    return check


def tflite_on_the_device(folder: Path) -> Check:
    """Open a .tflite as the device scripts do: the checks, the first run in a child process, then the run itself.

    The child is forked from a small process instead of started anew, which takes a hundredth of the time.
    """
    from edgenet_device import trial
    from edgenet_device.classifier import Classifier
    from edgenet_device.normalization import normalization_named

    path = folder / "net.tflite"
    forks = Forks("first run")
    trial._run_child = lambda model, threads: forks.run(model.data, str(threads))

    def check(data: bytes) -> None:
        path.write_bytes(data)
        trial._TRIED.clear()
        try:
            classifier = Classifier(path, threads=1)
        except EdgenetError as error:
            if "--normalization" not in str(error):
                raise
            # A float network of another maker: the user says what its pixels went through.
            classifier = Classifier(path, threads=1, normalization=normalization_named("-1..1"))
        classifier.input_view()[:] = 127
        classifier.invoke()
        assert len(classifier.best(classifier.scores(), 5)) <= 5

    return check


@cache
def bundle_seeds() -> dict[str, bytes]:
    """Return two bundles."""
    from bundle_parts import FACTS, LABELS
    from tiny_model import tiny_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.edgenet"
        write_bundle(path, tiny_model(), LABELS, FACTS)
        return {"tiny": path.read_bytes()}


def bundles(folder: Path) -> Check:
    """Open a bundle as the host and as the device do; if both take it, they must see the same model."""
    from edgenet_device.model_file import open_model

    path = folder / "net.edgenet"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        there = refusable(lambda: open_model(path))
        here = open_bundle(path)
        assert there is None or there.data == here.model

    return check


def manifest_changed(data: bytes, rng: random.Random) -> bytes:
    """Change a bundle's members and write their new checksums into its manifest, so that all checks but these pass."""
    members = dict(unpacked(data))
    if "manifest.json" not in members:
        return zip_changed(data, rng)
    chosen = rng.choice(("manifest.json", "manifest.json", "model.tflite", "labels.txt", "CARD.md"))
    if chosen == "manifest.json":
        members[chosen] = json_changed(members[chosen], rng)
        return _stored(members)
    change = rng.choice(_TFLITE) if chosen == "model.tflite" else words_put_in
    members[chosen] = change(members.get(chosen, b"x"), rng)
    try:
        manifest = json.loads(members["manifest.json"])
        manifest["members"][chosen] = {"sha256": sha256(members[chosen]), "size": len(members[chosen])}
        members["manifest.json"] = json.dumps(manifest).encode()
    except (ValueError, KeyError, TypeError):
        pass
    return _stored(members)


def _stored(members: Mapping[str, bytes]) -> bytes:
    try:
        return stored_zip(members)
    except (ValueError, UnicodeEncodeError):
        return b"PK\x03\x04"


_CHECKS = tuple(f"edgenet_device.{name}" for name in ("model_file", "flatbuffer"))
_OTHERS = tuple(f"edgenet_device.{name}" for name in ("trial", "ports", "normalization"))
_HOST = tuple(f"edgenet.tflite.{name}" for name in ("flatbuffer", "forms", "metadata", "metadata_tables"))

TARGETS = (
    Target(
        "tflite-host",
        ".tflite on the host",
        (*_HOST, "edgenet.workflows.sources", "edgenet.workflows.file_sources", "edgenet_device.file_kind"),
        tflite_seeds,
        _TFLITE,
        tflite_on_the_host,
        weight=2,
    ),
    Target(
        "tflite-device",
        ".tflite on the device: checks, first run in a child, run",
        (*_CHECKS, *_OTHERS),
        tflite_seeds,
        _TFLITE,
        tflite_on_the_device,
        weight=2,
    ),
    Target(
        "bundle",
        "bundles, on the host and on the device",
        (*_CHECKS, "edgenet.bundle", "edgenet.manifest"),
        bundle_seeds,
        (*BINARY, zip_changed, members_changed(words_put_in), *[manifest_changed] * 3),
        bundles,
    ),
)
