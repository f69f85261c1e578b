"""The fuzz itself: it notices what it is there for, and every reader of other people's files has a target."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgenet.errors import EdgenetError
from tools.fuzz import ROOT, workers
from tools.fuzz.__main__ import main
from tools.fuzz.mutations import BINARY, TEXT, json_changed, zip_changed
from tools.fuzz.targets import TARGETS, WITHOUT_TARGET, readers, unlisted_readers
from tools.fuzz.workers import Target, minimised, replay, run_target

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits of memory are Linux's")


def test_every_reader_has_a_target() -> None:
    """A new file that reads JSON, archives, arrays or pictures needs a target, or a reason in WITHOUT_TARGET."""
    assert unlisted_readers() == []


def test_the_lists_name_only_what_is_there() -> None:
    named = {name for target in TARGETS.values() for name in target.readers}
    files = [
        base / f"{name.replace('.', '/')}.py" for name in named for base in (ROOT, ROOT / "device_scripts")
    ]
    assert sum(file.is_file() for file in files) == len(named)
    assert sorted(set(WITHOUT_TARGET) - set(readers())) == []
    assert named.isdisjoint(WITHOUT_TARGET)


def test_every_target_has_ways_to_damage_its_inputs() -> None:
    one = [
        name for name, each in TARGETS.items() if not isinstance(each.mutations, tuple) or not each.mutations
    ]
    assert one == []


@pytest.mark.slow
def test_every_target_takes_a_sound_input_and_reaches_its_readers(tmp_path: Path) -> None:
    command = [sys.executable, Path(__file__).with_name("fuzz_reach.py"), tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    said = dict(
        line.split(": ", 1) for line in done.stdout.splitlines() if line.partition(": ")[0] in TARGETS
    )
    assert said == dict.fromkeys(TARGETS, "good"), done.stderr[-3000:]


def target(check: Callable[[bytes], None]) -> Target:
    """Return a target that takes numbers as texts."""
    return Target("test", "a test", (), lambda: {"one": b"1", "two": b"22"}, TEXT, lambda folder: check)


def writes_outside(data: bytes) -> None:
    Path("/tmp/edgenet-fuzz-of-a-test").open("w").close()


def starts_a_process(data: bytes) -> None:
    subprocess.run(["true"], check=True)


def takes_much_memory(data: bytes) -> None:
    bytearray(b"x") * (1100 << 20)


def hangs(data: bytes) -> None:
    while True:
        time.sleep(1)


def refuses(text: str) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        raise EdgenetError(text)

    return check


def prints(text: str) -> Callable[[bytes], None]:
    return lambda data: print(text)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda data: None, "accepted"),
        (refuses("no such file"), "refused: no such file"),
        (refuses("x" * 100_000), "refused: xxx"),
        (lambda data: [][1], "IndexError in no function of ours"),
        (lambda data: sys.exit(0), "SystemExit"),
        (lambda data: os.abort(), "abort: SIGABRT"),
        (lambda data: os._exit(3), "abort: exit status 3"),
        (hangs, "hang: longer than"),
        (prints("\x1b[2J"), "printed something"),
        (writes_outside, "open outside of the scratch folder"),
        (starts_a_process, "subprocess.Popen was called"),
        (takes_much_memory, "memory: more than 1 GiB"),
        (lambda data: os.mkdir("/never-made/x"), "os.mkdir outside of the scratch folder|FileNotFoundError"),
    ],
)
def test_a_verdict(check: Callable[[bytes], None], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "HANG_S", 0.5 if check is hangs else 60.0)
    monkeypatch.setattr(workers, "_PATIENCE", 1)
    verdict = replay(target(check), b"1")
    assert any(part in f"{verdict.kind}: {verdict.said}" or part == verdict.kind for part in said.split("|"))
    assert verdict.kind == (
        "bad" if said.partition(":")[0] not in ("accepted", "refused") else said.partition(":")[0]
    )


def faulty(data: bytes) -> None:
    """Refuses most texts, fails on some, and aborts on others."""
    if b"\xff" in data or b"\x80" in data:
        os.abort()
    if b";" in data:
        raise LookupError("a semicolon")
    if not data.isdigit():
        raise EdgenetError("not a number")


def test_a_run_survives_aborts_and_keeps_what_was_bad(tmp_path: Path) -> None:
    outcome = run_target(target(faulty), 1, tmp_path, time.monotonic() + 600, 150)
    assert outcome.tried == 150
    assert outcome.accepted > 0
    assert outcome.refused > 0
    kinds = sorted(verdict.said.split(" ")[0] for verdict, _ in outcome.faults.values())
    assert kinds == ["LookupError", "abort:"]
    for verdict, path in outcome.faults.values():
        small = minimised(target(faulty), path.read_bytes(), verdict)
        assert len(small) == 1
        assert replay(target(faulty), small).signature == verdict.signature
    mended = run_target(target(lambda data: None), 1, tmp_path, time.monotonic() + 600, 10)
    assert mended.faults == {}
    assert list((tmp_path / "test" / "bad").iterdir()) == []


def test_a_seed_gives_the_same_inputs(tmp_path: Path) -> None:
    first, again, other = (
        [workers.Inputs(target(faulty), seed, tmp_path / str(number)).make(i) for i in range(50)]
        for number, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert first != other


def test_mutations_change_anything() -> None:
    for data in (b"", b"x", b'{"a": [1, {"b": null}]}', b"PK\x05\x06" + bytes(18), bytes(range(256))):
        for mutation in (*BINARY, *TEXT, json_changed, zip_changed):
            changed = [mutation(data, random.Random(seed)) for seed in range(20)]
            assert all(isinstance(one, bytes) for one in changed)


def test_only_one_place_parses_json() -> None:
    """`read_json` has the limits that `json.loads` lacks."""
    others = [
        str(path.relative_to(ROOT))
        for top in ("edgenet", "device_scripts")
        for path in (ROOT / top).rglob("*.py")
        if path.name != "foreign_text.py"
        and any(
            word in path.read_text(encoding="utf-8") for word in ("json.loads(", "json.load(", "import loads")
        )
    ]
    assert others == []


@pytest.mark.slow
def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`make fuzz` starts this program; here it runs in the test's process, which has imported most of it."""
    given = ["tools.fuzz", "--inputs", "30", "--target", "csv", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main() == 0
    said = capfd.readouterr().out
    assert "tables of labels" in said
    assert "0 different faults" in said
