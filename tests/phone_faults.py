"""Runs beside a phone: deploys a model again and again, and each time an event happens one step later.

    python phone_faults.py EVENT MODEL

The pack is new to the phone. The first line names what runs there at first. Then comes one line for each failed deploy:
what runs there now, a tab, and the error message. At the end the model runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from interrupted import interrupted
from small_pack import use_small_pack

import edgenet.devices.adb as room_of_facts
import edgenet.workflows.deploy as workflow
from edgenet.devices.device import Device
from edgenet.devices.shell import script
from edgenet.devices.targets import open_device
from edgenet.errors import EdgenetError

_RUNS = 'cd "$1/current" && [ -e verified ] && sha256sum -c SHA256SUMS >/dev/null && ls *.tflite'
ALL_BYTES = """
df -Pk . | tail -n 1 | { read -r _ _ _ free _; fallocate -l "${free}k" most; }; cat /dev/zero >rest
"""
"""For the phone's shell: files in the current folder that take all that is left."""
_FILL = f"""
mkdir -p "$1" && cd "$1"; {ALL_BYTES}
number=0; while : >$number; do number=$((number + 1)); done
"""


def runs(phone: Device) -> str:
    """Return the model of the release that runs there, which must be whole; "nothing" if none runs."""
    return phone.run(script(_RUNS, phone.home)).out.decode().strip() or "nothing"


def fill(phone: Device, folder: str) -> None:
    """Fill the disk there: first its bytes, then its files."""
    phone.run(script(_FILL, folder))


def adb(*command: str) -> None:
    """Run the user's own adb."""
    subprocess.run(["adb", *command], check=True, capture_output=True)


def _deploy(model: Path, steps: int, event: Callable[[], object]) -> str | None:
    """Return the error message of the deploy; None if it succeeded."""
    workflow.open_device = lambda to: interrupted(to, steps, event)
    try:
        workflow.deploy(model, "adb")
    except EdgenetError as error:
        return str(error)
    return None


def cable_pulled(model: Path, steps: int) -> str | None:
    """Disconnect the phone from adb during a step, and connect it again afterwards."""
    said = _deploy(model, steps, partial(adb, "disconnect", os.environ["ANDROID_SERIAL"]))
    adb("connect", os.environ["ANDROID_SERIAL"])
    return said


def killed(model: Path, steps: int) -> str | None:
    """Deploy in a process that kills itself during a step."""
    child = os.fork()
    if not child:
        os._exit(_deploy(model, steps, partial(os.kill, os.getpid(), signal.SIGKILL)) is not None)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), "deploy failed by itself"
    return f"exit status {status}" if status else None


def disk_filled(model: Path, steps: int) -> str | None:
    """Fill the disk's bytes and files during a step, and free them afterwards."""
    with open_device("adb") as other:
        folder = f"{other.home}/../filler"
        said = _deploy(model, steps, partial(fill, other, folder))
        other.run(["rm", "-rf", folder])
    return said


EVENTS = {event.__name__: event for event in (cable_pulled, killed, disk_filled)}


def main(event: str, model: Path) -> None:
    """Repeat with later and later events until no deploy fails any more."""
    use_small_pack(event)
    with open_device("adb") as phone:
        facts = phone.facts()
        print(runs(phone))
    room_of_facts.facts_of = lambda device: facts  # an emulated phone takes a second to tell them
    steps = 0
    while (said := EVENTS[event](model, steps)) is not None:
        with open_device("adb") as phone:
            print(runs(phone), said, sep="\t", flush=True)
        steps += 1
    with open_device("adb") as phone:
        assert runs(phone) == model.name


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
