"""A stand-in for the pack that phones get: a few files, one of them a shell script that answers as Python would.

The tests that use it check what happens before and after the scripts run. It is at the real pack's place, under its
name.
"""

from __future__ import annotations

from pathlib import Path

import edgenet.devices.phone_pack as pack

TRIED = "{}"  # what `try-model` says where all is well
RUNS = '{"stage": "runs", "done": 1, "total": 10}'  # and `measure_latency.py`, which comes to no end
_PYTHON = f"""#!/system/bin/sh
case "$*" in
    *"edgenet_device try-model"*) echo '{TRIED}' ;;
    */device_scripts/measure_latency.py*) while :; do echo '{RUNS}'; sleep 1; done ;;
esac
"""


def use_small_pack(key: str) -> None:
    """Make this process bring the stand-in to phones from now on, under that key."""
    files = {"bin/python": _PYTHON.encode(), **{f"lib/{number}": bytes(99_999) for number in range(4)}}
    files["wheels/stdlib.zip"] = b""  # for the real Python
    files["opencv/cv2.py"] = b""  # as after an earlier deploy; test_phone_opencv.py has the others
    pack.pack_key = lambda: key
    pack.pack_files = lambda progress: dict(files)
    pack.pack_wheels = lambda progress: [Path(__file__)]
