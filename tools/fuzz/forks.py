"""Runs what edgenet does in child processes in forks instead, which take a hundredth of the time to start.

They are forks of a small process: to fork one that holds torch takes ten times as long.
"""

from __future__ import annotations

import io
import os
import resource  # noqa: F401 - else each fork would import it
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe

import numpy as np

from tools.fuzz import ROOT

_SERVE = "import sys; from tools.fuzz.forks import serve; serve(int(sys.argv[1]), sys.argv[2])"


class Forks:
    """A small process, started here, that forks for each call; it ends with this process."""

    def __init__(self, work: str) -> None:
        self._forks, theirs = Pipe()
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(theirs.fileno()), work],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path},
        )
        theirs.close()

    def run(self, data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Do the work in a fork that reads `data` from its stdin; return what it wrote and how it ended."""
        self._forks.send((data, arguments))
        return subprocess.CompletedProcess([], *self._forks.recv())


def serve(descriptor: int, work: str) -> None:
    """Fork for each request that comes over a connection, until its other side is closed."""
    function = _WORK[work]()
    requests = Connection(descriptor)
    while True:
        try:
            data, arguments = requests.recv()
        except EOFError:
            return
        requests.send(_in_a_fork(lambda: function(*arguments), data))  # noqa: B023 - called before the next one comes


def _in_a_fork(work: Callable[[], int], data: bytes) -> tuple[int, bytes, bytes]:
    """Run work that reads `data` from its stdin in a fork of this process; return how it ended and what it wrote."""
    reading, writing = os.pipe()
    errors = os.memfd_create("errors")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            given = os.memfd_create("data")
            os.write(given, data)
            os.lseek(given, 0, os.SEEK_SET)
            sys.stdin, sys.stdout = os.fdopen(given, "r"), os.fdopen(writing, "w")
            sys.stderr = os.fdopen(errors, "w")
            status = work()
            sys.stdout.flush()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(errors, "rb") as written:
        written.seek(0)
        return code, said, written.read()


def _hdf5() -> Callable[[str, str], int]:
    """Return what the child of `keras_hdf5` does."""
    import h5py

    from edgenet.zoo import keras_hdf5

    keras_hdf5.MOST_CPU_S = 1  # some damaged files keep the library busy until this time is over
    with h5py.File(io.BytesIO(), "w") as file:  # else each fork would prepare the libraries
        file["zero"] = 0
        np.savez(io.BytesIO(), zero=file["zero"][()])

    def work(layout: str, most: str) -> int:
        keras_hdf5.answer(layout, most)
        return 0

    return work


def _first_run() -> Callable[[str], int]:
    """Return what the child of `trial` does."""
    from edgenet_device import trial  # noqa: F401 - else each fork would import it
    from edgenet_device.__main__ import run_once
    from edgenet_device.latency import samples  # noqa: F401
    from edgenet_device.runtime import load_runtime

    load_runtime()
    np.random.default_rng()
    return lambda threads: run_once([threads])


_WORK: Mapping[str, Callable[[], Callable[..., int]]] = {"hdf5": _hdf5, "first run": _first_run}
"""Prepares what each fork does, by the name of the work."""
