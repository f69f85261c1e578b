"""This machine as a device."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgenet.devices.local import LocalDevice
from edgenet.devices.targets import open_device
from edgenet.errors import EdgenetError


def test_run_takes_arguments_as_they_are() -> None:
    done = LocalDevice().run([sys.executable, "-c", "import sys; print(sys.argv[1])", "$(id) ; *"])
    assert (done.status, done.out.decode().strip()) == (0, "$(id) ; *")


def test_a_failure_is_a_status() -> None:
    done = LocalDevice().run([sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"])
    assert (done.status, done.last_line()) == (3, "why")
    assert LocalDevice().run(["/no/such/program"]).status == 127


def test_too_long() -> None:
    with pytest.raises(EdgenetError, match=r"did not end within 0\.2 s"):
        LocalDevice().run([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)


def test_lines_come_as_they_are_printed() -> None:
    endless = "import itertools, time\nfor n in itertools.count(): print(n, flush=True); time.sleep(0.01)"
    with LocalDevice().start([sys.executable, "-c", endless]) as running:
        lines = running.lines()
        assert [next(lines), next(lines)] == ["0", "1"]
    assert running.finish().status == 143


def test_push_and_pull(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"one")
    device = LocalDevice()
    device.push({"x/a": source, "b": b"two"}, str(tmp_path / "there"))
    assert device.pull(str(tmp_path / "there/x/a")) == b"one"
    assert device.pull(str(tmp_path / "there/b")) == b"two"


def test_facts() -> None:
    with open_device("local") as device:
        assert device.facts().python == sys.version_info[:3]
