"""`python fuzz_reach.py FOLDER` gives every target its sound inputs and prints which readers were not reached."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Try each target in a fork of this process, because a target may change what it tries."""
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
    reached: set[str] = set()

    def see(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            reached.add(frame.f_code.co_filename.removesuffix(".py").removesuffix("/__init__"))

    threading.setprofile(see)
    sys.setprofile(see)
    taken, check = 0, target.setup(folder)
    for data in target.seeds().values():
        with suppress(EdgenetError):
            check(data)
            taken += 1
    sys.setprofile(None)
    ends = ["/" + reader.replace(".", "/") for reader in target.readers]
    missed = [end for end in ends if not any(file.endswith(end) for file in reached)]
    return "good" if taken and not missed else f"{taken} sound inputs were taken; not reached: {missed}"


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the libraries are loaded
    sys.path.insert(0, str(ROOT))
    main()
