"""The trainings of a sweep on the machines of a Ray cluster (the extra `ray`); the files come back to this machine."""

from __future__ import annotations

import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from edgenet.errors import EdgenetError
from edgenet.files import make_folder, write_atomically
from edgenet.progress import silent
from edgenet.training.interrupt import TrainingStopped
from edgenet.training.state import STATE_FILE
from edgenet.verbs.sweep_rows import MADE_FILE, keep
from edgenet.verbs.sweep_settings import SweepOptions
from edgenet.verbs.sweep_variant import make_variant, read_division
from edgenet.zoo.registry import Variant

Say = Callable[[str], None]

MOST_CPUS = 4
"""A network of this size gains little from more; on a large machine several variants train side by side instead."""
RETRIES = 2
"""A variant whose machine is lost begins again on another, so often."""
WAIT_S = 0.5
PORTS = {"": 6379, "ray": 10001}  # Ray's own, of a cluster and of its client server
CONNECTION_SECONDS = 5.0
KEPT_THERE = {STATE_FILE}
"""Not sent back: the state is for going on with a training, and this one is done."""


def make_on_ray(
    address: str,
    variants: Sequence[Variant],
    data: Path,
    out: Path,
    options: SweepOptions,
    digest: str,
    say: Say,
) -> None:
    """Trains, quantizes and evaluates variants on a cluster; each has its files in `out` as soon as it is done.

    Args:
        address: as of `ray.init`: "auto", HOST:PORT, "ray://HOST:PORT", or "local" for a Ray that is started here.
        data: where the photos are, on every machine of the cluster.
        digest: of the photos; a machine that has others there refuses.
        say: told a line as each variant is given to the cluster and comes back, and the lines of `train`.

    Raises:
        EdgenetError: Ray is not installed or cannot be reached, or a variant cannot be made; those done are kept.
        TrainingStopped: Ctrl-C.
    """
    if not variants:
        return
    ray = _import_ray()
    with _connected(ray, address):
        cpus, gpus = _share(ray.nodes(), options.training.device)
        from ray.util.queue import Empty, Queue

        lines = Queue(actor_options={"num_cpus": 0})
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_make)
        place = str(data) if "://" in str(data) else str(data.resolve())
        pending = {
            task.remote(variant, place, options, digest, version("edgenet"), lines): variant
            for variant in variants
        }
        say(
            f"{len(variants)} variants to train on Ray, {cpus} CPUs{' and a GPU' if gpus else ''} for each at a time"
        )
        while pending:
            done, _ = ray.wait(list(pending), timeout=WAIT_S)
            try:
                while True:
                    say(lines.get(block=False))
            except Empty:
                pass
            for reference in done:
                variant = pending.pop(reference)
                _take(out / variant.name, _result(ray, reference, variant))
                say(f"{variant.name}: came back, {len(pending)} to come")


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise EdgenetError(
            "--ray needs the package ray, which is not installed",
            "install it with: pip install 'edgenet[ray]' (about 260 MB), or leave out --ray",
        ) from None
    module: ModuleType = ray
    return module


def _check_reachable(address: str) -> None:
    """Asks for a connection: Ray itself would try again for minutes.

    Raises:
        OSError, ValueError: nobody is there, or it is no address.
    """
    place = urlsplit(address if "://" in address else f"//{address}")
    if address not in ("auto", "local"):
        socket.create_connection(
            (place.hostname, place.port or PORTS.get(place.scheme, 0)), CONNECTION_SECONDS
        ).close()


@contextmanager
def _connected(ray: ModuleType, address: str) -> Iterator[None]:
    try:
        _check_reachable(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise EdgenetError(
            f"there is no Ray at {address} ({str(error).splitlines()[0]})",
            "start one with `ray start --head` and give its HOST:PORT, or give --ray local",
        ) from None
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except KeyboardInterrupt:
        raise TrainingStopped("the sweep on Ray was stopped", "the same command goes on") from None
    finally:
        ray.shutdown()  # what still runs there is cancelled with the connection
        signal.signal(signal.SIGINT, before)


def _share(nodes: Sequence[dict[str, Any]], device: str) -> tuple[int, int]:
    """The CPUs and GPUs that a training takes: such that every machine can train one."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    cpus = [int(node.get("CPU", 0)) for node in alive]
    least = min((count for count in cpus if count), default=0)
    if not least:
        raise EdgenetError("no machine of the Ray cluster has a CPU to train on", "start it with --num-cpus")
    gpus = device != "cpu" and any(node.get("GPU", 0) >= 1 for node in alive)
    return min(least, MOST_CPUS), int(gpus)


def _make(
    variant: Variant, data: str, options: SweepOptions, digest: str, release: str, lines: Any
) -> dict[str, bytes]:
    """On a machine of the cluster: makes a variant, and gives all its files by their paths in its folder."""
    if release != version("edgenet"):
        raise EdgenetError(
            f"a machine of the Ray cluster has edgenet {version('edgenet')}, this one {release}",
            "install the same on all",
        )
    material = read_division(variant, Path(data), options, silent)
    if material.digest != digest:
        raise EdgenetError(
            f"{data} holds other photos on a machine of the Ray cluster",
            "copy the same there, or put them on a disk that all machines share",
        )
    with tempfile.TemporaryDirectory() as made_in:
        folder = Path(made_in) / variant.name
        photos = material.photos.photoset, material.validation
        made = make_variant(
            variant,
            Path(data),
            folder,
            options,
            photos,
            silent,
            lambda line: lines.put(f"{variant.name}: {line}"),
        )
        keep(folder / MADE_FILE, made)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in KEPT_THERE]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _result(ray: ModuleType, reference: Any, variant: Variant) -> dict[str, bytes]:
    try:
        files: dict[str, bytes] = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EdgenetError):
            raise EdgenetError(f"{variant.name} on Ray: {error.cause.found}", error.cause.remedy) from None
        raise EdgenetError(
            f"{variant.name} on Ray: {error.cause!r}",
            "every machine needs the same edgenet and its packages; the same command goes on",
        ) from None
    except ray.exceptions.RayError as error:
        raise EdgenetError(
            f"{variant.name} was lost on Ray ({str(error).splitlines()[0]})", "the same command goes on"
        ) from None
    return files


def _take(folder: Path, files: dict[str, bytes]) -> None:
    """Writes a variant's files, the one that says it is whole at last."""
    for name in sorted(files, key=lambda name: name == MADE_FILE):
        path = folder / name
        make_folder(path.parent)
        write_atomically(path, files[name])
