"""Which CPUs are worth trying, and staying on them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from edgenet_device.latency import affinity
from edgenet_device.latency.affinity import (
    CpuSet,
    big_set,
    cpu_list,
    found_sets,
    parse_cpu_list,
    parse_sets,
    staying_on,
    thread_cpu_settings,
)

from edgenet.errors import EdgenetError

# A phone's three clusters: related_cpus and cpuinfo_max_freq (kHz) of each policy.
PHONE = {0: ("0 1 2 3", 1_803_000), 4: ("4 5 6", 2_348_000), 7: ("7", 2_850_000)}


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "usable_cpus", lambda: list(range(8)))


def with_policies(root: Path, policies: dict[int, tuple[str, int]]) -> Path:
    for number, (cpus, fastest) in policies.items():
        folder = root / f"sys/devices/system/cpu/cpufreq/policy{number}"
        folder.mkdir(parents=True)
        (folder / "related_cpus").write_text(f"{cpus}\n")
        (folder / "cpuinfo_max_freq").write_text(f"{fastest}\n")
    return root


def test_clusters_are_found(tmp_path: Path, eight_cpus: None) -> None:
    found = found_sets(with_policies(tmp_path, PHONE))
    assert [(one.name, one.max_mhz) for one in found] == [
        ("all", 2850), ("7", 2850), ("4-6", 2348), ("0-3", 1803), ("4-7", 2850),
    ]  # fmt: skip


def test_the_big_ones_are_all_but_the_slowest_cluster(tmp_path: Path, eight_cpus: None) -> None:
    assert big_set(tmp_path).name == "all"
    assert [(one.name, one.max_mhz) for one in parse_sets("big", with_policies(tmp_path, PHONE))] == [
        ("4-7", 2850)
    ]
    two = {0: ("0 1 2 3 4 5", 1_800_000), 6: ("6 7", 2_400_000)}
    assert big_set(with_policies(tmp_path / "two", two)).cpus == (6, 7)


def test_one_clock_leaves_no_choice(tmp_path: Path, eight_cpus: None) -> None:
    assert [one.name for one in found_sets(tmp_path)] == ["all"]  # a virtual machine
    each = {cpu: (str(cpu), 3_000_000) for cpu in range(8)}  # a PC: a policy for each CPU
    assert [(one.name, one.max_mhz) for one in found_sets(with_policies(tmp_path, each))] == [("all", 3000)]


def test_cpus_outside_of_what_may_be_used_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affinity, "usable_cpus", lambda: [2, 3, 4])
    assert [one.name for one in found_sets(with_policies(tmp_path, PHONE))] == ["all", "4", "2-3"]


def test_lists_as_the_kernel_writes_them(eight_cpus: None) -> None:
    assert parse_cpu_list("0-2,5") == (0, 1, 2, 5)
    assert cpu_list((0, 1, 2, 5)) == "0-2,5"
    assert [one.cpus for one in parse_sets("all/4-7")] == [tuple(range(8)), (4, 5, 6, 7)]
    for wrong in ("", "3-1", "a", "1;2"):
        with pytest.raises(EdgenetError, match="is not a list of CPUs"):
            parse_cpu_list(wrong)
    with pytest.raises(EdgenetError, match="CPU 8 is not among the usable CPUs, 0-7"):
        parse_sets("6-8")


def test_more_threads_than_cpus_are_not_tried() -> None:
    sets = [CpuSet("all", (0, 1, 2, 3)), CpuSet("3", (3,))]
    assert [(one.threads, one.cpus.name) for one in thread_cpu_settings([1, 4], sets)] == [
        (1, "all"), (4, "all"), (1, "3"),
    ]  # fmt: skip
    with pytest.raises(EdgenetError, match="8 threads requested, but only 4 CPUs"):
        thread_cpu_settings([8], sets)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_staying_on_a_cpu_and_going_back() -> None:
    before = os.sched_getaffinity(0)
    one = min(before)
    seen: list[set[int]] = []
    with staying_on(CpuSet(str(one), (one,))):
        thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()
        assert os.sched_getaffinity(0) == {one}
    assert seen == [{one}]  # threads inherit it, as the interpreter's do
    assert os.sched_getaffinity(0) == before
