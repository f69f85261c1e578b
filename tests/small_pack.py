"""A pack for phones that is a stand-in: a few files, of which one, a shell script, answers as Python with our scripts.

What comes before and after the scripts is what tests with it look at. It lies where the real one would, under its name.
"""

from __future__ import annotations

from pathlib import Path

import edgenet.devices.phone_pack as pack

TRIED = "{}"  # what `try_model.py` says where all is well
RUNS = '{"stage": "runs", "done": 1, "total": 10}'  # and `measure_latency.py`, which comes to no end
_PYTHON = f"""#!/system/bin/sh
case "$*" in
    *edgenet_device.try_model*) echo '{TRIED}' ;;
    */device_scripts/measure_latency.py*) while :; do echo '{RUNS}'; sleep 1; done ;;
esac
"""


def use_small_pack(key: str) -> None:
    """From now on it is what this process brings to phones, under that key."""
    files = {"bin/python": _PYTHON.encode(), **{f"lib/{number}": bytes(99_999) for number in range(4)}}
    pack.pack_key = lambda: key
    pack.pack_files = lambda progress: dict(files)
    pack.pack_wheels = lambda progress: [Path(__file__)]
