"""`bench --on adb --all`: two virtual phones behind one adb server, and others that cannot be used."""

from __future__ import annotations

import json
import os
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
TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """Two phones; the stand-in for benchmark_model runs only on the first."""
    vendor = vendor_programs(tmp_path_factory.mktemp("vendor"), works="")
    name = phone_name()
    with (
        running_phone(
            PHONE=name, PHONE_PORT=str(FIRST), PHONE_VENDOR=str(vendor), PHONE_SERIAL="one"
        ) as inside,
        running_phone(PHONE_BESIDE=name, PHONE_PORT=str(SECOND), PHONE_SERIAL="two"),
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
    assert "name one of them, or use bench --all" in one.stderr


def test_a_phone_by_two_routes_is_measured_once(phones: Inside, colours: Path, tmp_path: Path) -> None:
    tool = tmp_path / "benchmark_model"
    tool.write_bytes(stand_in(printing("runs", "delegated"), "aarch64"))
    again = f"localhost:{FIRST}"
    assert "connected to" in phones("adb", "connect", again).stdout
    command = [sys.executable, "-m", "edgenet", "bench", str(colours), "--on", "adb", "--all"]
    try:
        done = phones(*command, "--benchmark-model", str(tool), "--json")
    finally:
        phones("adb", "disconnect", again)
    targets = [f"adb:127.0.0.1:{FIRST}", f"adb:127.0.0.1:{SECOND}"]
    assert sorted(report["target"] for report in json.loads(done.stdout)) == targets
    assert f"adb:{again} is the same phone as {targets[0]}, so it was not measured twice" in done.stderr
    assert done.returncode == 0


# Ctrl-C while both are being measured; their Python is a stand-in that never ends.
STOPPED = """
import os, signal, subprocess, sys, time
from edgenet.commands.app import main
from small_pack import use_small_pack

def running(serial):
    listed = subprocess.run(["adb", "-s", serial, "shell", "ps -A -o ARGS"], capture_output=True, text=True)
    return "device_scripts/" + "measure_latency.py" in listed.stdout  # this text is seen there, too

def wait(holds):
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.5)

serials = sys.argv[2:]
child = os.fork()
if not child:
    use_small_pack("small")
    sys.argv = ["edgenet", "bench", sys.argv[1], "--on", "adb", "--all"]
    main()
wait(lambda: all(map(running, serials)))
os.kill(child, signal.SIGINT)
ends = []

def ended():
    ends.append(os.waitpid(child, os.WNOHANG))
    return ends[-1][0] == child

wait(ended)
print(os.waitstatus_to_exitcode(ends[-1][1]))
wait(lambda: not any(map(running, serials)))
"""


def test_both_are_measured_at_once_and_ctrl_c_ends_both(phones: Inside, colours: Path) -> None:
    serials = (f"127.0.0.1:{FIRST}", f"127.0.0.1:{SECOND}")
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = phones("env", f"PYTHONPATH={paths}", sys.executable, "-c", STOPPED, str(colours), *serials)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "130\n"


# The adb server is the real one; at its other end are two sockets: one asks for a key it does not like, as a phone does
# whose dialog nobody has answered, and one says nothing.
OTHERS = """
import socket, struct, subprocess, sys, time
AUTH, TOKEN, PUBLIC_KEY = 0x48545541, 1, 3

def exactly(stream, size):
    data = stream.recv(size, socket.MSG_WAITALL)
    assert len(data) == size
    return data

locked, silent = (socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1:3])
for listener in (locked, silent):
    subprocess.Popen(["adb", "connect", f"127.0.0.1:{listener.getsockname()[1]}"], stdout=subprocess.DEVNULL)
phone, _ = locked.accept()
kind = number = None
while (kind, number) != (AUTH, PUBLIC_KEY):
    kind, number, _, size, _, _ = struct.unpack("<6I", exactly(phone, 24))
    exactly(phone, size)
    if (kind, number) != (AUTH, PUBLIC_KEY):
        token = bytes(20)
        phone.sendall(struct.pack("<6I", AUTH, TOKEN, 0, len(token), sum(token), AUTH ^ 0xFFFFFFFF) + token)
until = time.monotonic() + 60
while True:
    listed = subprocess.run(["adb", "devices"], capture_output=True, text=True).stdout
    if "unauthorized" in listed and "offline" in listed:
        break
    assert time.monotonic() < until, listed
    time.sleep(0.2)
done = subprocess.run(sys.argv[3:])
for port in sys.argv[1:3]:
    subprocess.run(["adb", "disconnect", f"127.0.0.1:{port}"], capture_output=True)
sys.exit(done.returncode)
"""


def test_unusable_phones_are_reported_with_a_remedy(phones: Inside, colours: Path, tmp_path: Path) -> None:
    tool = tmp_path / "benchmark_model"
    tool.write_bytes(stand_in(printing("runs", "delegated"), "aarch64"))
    command = [sys.executable, "-m", "edgenet", "bench", str(colours), "--on", "adb", "--all"]
    done = phones(
        sys.executable, "-c", OTHERS, "6021", "6023", *command, "--benchmark-model", str(tool), "--json"
    )
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        "adb:127.0.0.1:6021: is unauthorized; unlock the phone and allow USB debugging for this "
        "computer in the dialog it shows",
        "adb:127.0.0.1:6023: is offline; unplug it and plug it in again, or run adb reconnect offline",
    ]
    measured = {report["target"] for report in json.loads(done.stdout)}
    assert measured == {f"adb:127.0.0.1:{FIRST}", f"adb:127.0.0.1:{SECOND}"}
