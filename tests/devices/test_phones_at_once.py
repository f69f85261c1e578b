"""`bench --on adb --all`: two virtual phones behind one adb server, one of which fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmark_outputs import printing
from phone_parts import vendor_programs
from stand_in_program import stand_in
from virtual_devices import Inside, phone_name, running_phone

pytestmark = pytest.mark.slow
# Beyond those where adb looks for emulators by itself, and would find each phone a second time.
FIRST, SECOND = 6001, 6003


@pytest.fixture(scope="module")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """Two phones; the stand-in for benchmark_model runs on the first alone."""
    vendor = vendor_programs(tmp_path_factory.mktemp("vendor"), works="")
    name = phone_name()
    with (
        running_phone(PHONE=name, PHONE_PORT=str(FIRST), PHONE_VENDOR=str(vendor)) as inside,
        running_phone(PHONE_BESIDE=name, PHONE_PORT=str(SECOND)),
    ):
        yield lambda *command: inside("env", "-u", "ANDROID_SERIAL", *command)


def test_each_is_measured_and_a_failure_keeps_no_other_from_it(
    phones: Inside, colours: Path, tmp_path: Path
) -> None:
    listed = phones("adb", "devices").stdout.splitlines()[1:3]
    assert sorted(listed) == [f"127.0.0.1:{FIRST}\tdevice", f"127.0.0.1:{SECOND}\tdevice"]
    tool = tmp_path / "benchmark_model"
    tool.write_bytes(
        stand_in(printing("runs", "delegated", before="[ -e /vendor/bin/works ] || exit 3"), "aarch64")
    )
    command = [sys.executable, "-m", "edgenet", "bench", str(colours), "--on", "adb", "--all"]
    done = phones(*command, "--benchmark-model", str(tool), "--out", str(tmp_path / "reports"))
    assert done.returncode == 1
    failures = [line for line in done.stderr.splitlines() if line]
    assert len(failures) == 1
    assert failures[0].startswith(f"adb:127.0.0.1:{SECOND}: ")
    assert "benchmark_model" in failures[0]
    (path,) = (tmp_path / "reports").glob("*.json")
    assert json.loads(path.read_text())["target"] == f"adb:127.0.0.1:{FIRST}"
    assert f"adb:127.0.0.1:{FIRST}" in done.stdout
    one = phones(sys.executable, "-m", "edgenet", "bench", str(colours), "--on", "adb")
    assert "2 devices are attached" in one.stderr
    assert "name one, or give bench --all" in one.stderr
