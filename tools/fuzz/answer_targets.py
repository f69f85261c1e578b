"""Target that takes what devices answer: facts, conditions, states, photos, and the output of benchmark_model."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from edgenet.devices import releases
from edgenet.devices.device import DeviceFacts, ProgramResult
from edgenet.devices.shell import facts_of
from edgenet.latency.benchmark_model_report import read_delegate, read_operators, read_timings
from edgenet.latency.shell_conditions import conditions_there, facts_there
from tools.fuzz import ROOT
from tools.fuzz.mutations import TEXT, json_changed
from tools.fuzz.verdicts import Check, refusable
from tools.fuzz.workers import Target

_POLICY = "/sys/devices/system/cpu/cpufreq/policy0"
_SCRIPTS = {
    "conditions": [
        "/proc/loadavg:0.10 0.20 0.30 1/100 1",
        f"{_POLICY}/related_cpus:0 1",
        f"{_POLICY}/scaling_governor:ondemand",
        f"{_POLICY}/scaling_cur_freq:1500000",
        "/sys/class/thermal/thermal_zone0/type:cpu",
        "/sys/class/thermal/thermal_zone0/temp:50000",
        "== thermalservice",
        "Thermal Status: 1",
        "  Temperature{mValue=40.5, mType=0, mName=CPU, mStatus=0}",
        "== battery",
        "  temperature: 305",
        "== vcgencmd",
        "throttled=0x50005",
    ],
    "facts": [
        "ro.product.manufacturer:Maker",
        "ro.soc.model:Soc",
        "kernel:6.1",
        "/proc/meminfo:MemTotal:  3884 kB",
        "/proc/self/status:Cpus_allowed_list:\t0-3",
        "/proc/cpuinfo:model name\t: Cortex",
        "/sys/devices/system/cpu/online:0-3",
        f"{_POLICY}/related_cpus:0 1 2 3",
        f"{_POLICY}/cpuinfo_max_freq:1800000",
    ],
    "machine": [
        *("machine=aarch64", "bits=64", "system=Debian", "model=Pi 5", "camera=v4l2"),
        *("free_kib=1000000", "python=3.11.2", "camera=picamera2"),
    ],
    "status": [
        *("uptime=100.5", "clock=1000.0", "ActiveState=active", "ActiveEnterTimestampMonotonic=5000000"),
        *("NRestarts=0", "Result=success"),
        'state={"written": 995.0, "model": "m", "label": "cat", "fps": 10.0, "p50_ms": 3.0, "temperature": 50.0, '
        '"lost": null, "warnings": [], "url": "http://x"}',
    ],
}
"""What the scripts that edgenet runs on a device print, by what they ask for."""


@cache
def answer_seeds() -> dict[str, bytes]:
    """Return what devices answer: the output of benchmark_model, and of the scripts that ask for facts."""
    outputs = ROOT / "tests" / "latency" / "benchmark_model_outputs"
    found = {path.stem: path.read_bytes() for path in sorted(outputs.glob("*.txt"))}
    for name, lines in _SCRIPTS.items():
        found[name] = "\n".join([*lines, ""]).encode()
    found["tried"] = (
        b'{"size": 224, "classes": 1000, "runtime": "ai-edge-litert", "version": "2.3.0", "delegate": "XNNPACK"}'
    )
    found["photo"] = b'{"type": "photo", "jpeg": "/9j/4AAQSkZJRg=="}\n{"type": "state", "lost": "no frame"}'
    return found


class _Answering:
    """A device whose programs print the input."""

    name, home = "ssh:pi@pi", "/home/pi/.edgenet"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def run(self, *arguments: Any, **options: Any) -> ProgramResult:
        return ProgramResult(0, self.data, b"")

    def start(self, *arguments: Any, **options: Any) -> _Answering:
        return self

    def __enter__(self) -> _Answering:
        return self

    def __exit__(self, *reason: object) -> None:
        pass

    def lines(self) -> Any:
        yield from self.data.decode(errors="replace").split("\n")

    def finish(self) -> ProgramResult:
        return ProgramResult(1, b"", self.data)

    def pull(self, path: str) -> bytes:
        return self.data

    def facts(self) -> DeviceFacts:
        return DeviceFacts("aarch64", "aarch64", "Debian", "a Pi", (3, 11, 2), (), None)


def answers(folder: Path) -> Check:
    """Take the input for every answer that a device gives; the last one decides whether it counts as taken."""
    from edgenet.devices.environment import python_of
    from edgenet.devices.install import Installed, try_model
    from edgenet.devices.service import last_error
    from edgenet.workflows import status
    from edgenet.workflows.camera import _photos
    from edgenet.workflows.measuring import _follow

    def check(data: bytes) -> None:
        device: Any = _Answering(data)
        text = data.decode(errors="replace")
        status.open_device = lambda text: device
        for ask in (
            lambda: facts_of(device),
            lambda: releases.running(device),
            lambda: python_of(device, device.facts()),
            lambda: _follow(device, lambda *step: None),
            lambda: conditions_there(device),
            lambda: facts_there(device),
            lambda: read_delegate(text, 30),
            lambda: read_operators(text),
            lambda: try_model(Installed(device, "f", "b", "s", ("python",))),
            lambda: last_error(device),
            lambda: status.status("ssh:pi@pi"),
            lambda: list(_photos(device, device, lambda line: None)),
        ):
            refusable(ask)
        read_timings(text)

    return check


TARGETS = (
    Target(
        "answers",
        "answers of devices",
        (
            "edgenet.latency.benchmark_model_report",
            "edgenet.latency.shell_conditions",
            "edgenet.devices.environment",
            "edgenet.devices.install",
            "edgenet.workflows.measuring",
            "edgenet.workflows.status",
            "edgenet.workflows.camera",
        ),
        answer_seeds,
        (json_changed, *TEXT, *TEXT),
        answers,
    ),
)
