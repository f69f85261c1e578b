"""`python fuzz_reach.py FOLDER` gives every target its sound inputs and prints which readers were not reached."""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Try each target in a fork of this process, because a target may change what it tries."""
    gc.disable()  # each fork would look through all that torch made, and so copy its memory
    import torch

    from tools.fuzz.targets import TARGETS

    torch.set_num_threads(1)  # threads would not survive the fork
    for name, target in TARGETS.items():
        target.seeds()
        folder = Path(sys.argv[1]) / name
        folder.mkdir()
        child = os.fork()
        if child == 0:
            try:
                print(f"{name}: {missing(name, folder)}", file=sys.__stdout__, flush=True)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def missing(name: str, folder: Path) -> str:
    """Return a text if none of a target's sound inputs is taken, or if one of its readers is not reached."""
    from edgenet.errors import EdgenetError
    from tools.fuzz.targets import TARGETS

    target = TARGETS[name]
    os.chdir(folder)
    os.environ["EDGENET_CACHE"] = str(folder / "cache")
    ends = {reader: "/" + reader.replace(".", "/") for reader in target.readers}
    known: set[str] = set()

    def see(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if file in known:
            return
        known.add(file)
        path = file.removesuffix(".py").removesuffix("/__init__")
        for reader in [reader for reader, end in ends.items() if path.endswith(end)]:
            del ends[reader]
        if not ends:  # what follows need not be watched, which makes each call slow
            threading.setprofile(None)
            sys.setprofile(None)

    threading.setprofile(see)
    sys.setprofile(see)
    taken, check = 0, target.setup(folder)
    for data in target.seeds().values():
        with suppress(EdgenetError):
            check(data)
            taken += 1
        if target.part < 1 and taken and not ends:
            break  # one input of these takes long, and each run of the fuzz begins with all sound ones
    sys.setprofile(None)
    return "good" if taken and not ends else f"{taken} sound inputs were taken; not reached: {list(ends)}"


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the libraries are loaded
    sys.path.insert(0, str(ROOT))
    main()
