"""The memory for decoded photos, read from folders that are made like /proc and /sys of several machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenet.training import machine as training_machine
from edgenet.training.machine import UNKNOWN, available_memory, memory_budget

GB = 10**9
FULL_OF_CACHE = "MemTotal: 25000000 kB\nMemFree: 3500000 kB\nMemAvailable: 20000000 kB\n"
AVAILABLE = 20_000_000 << 10
V2 = "30 23 0:26 {shown} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "33 23 0:29 {shown} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


def machine(root: Path, cgroup: str = "", mounts: str = "") -> Path:
    """Write the files in /proc of a machine whose memory is nearly all file cache."""
    contents = {"proc/meminfo": FULL_OF_CACHE, "proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts}
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def group(root: Path, place: str, limit: object, used: int, inactive: int = 0, version: int = 2) -> None:
    """Write the files of one control group."""
    folder = root / "sys/fs/cgroup" / place
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\nactive_file 77\n{names[2]} {inactive}\n")


def available(root: Path) -> int:
    return available_memory(root, "linux")


def test_the_file_cache_counts_as_available(tmp_path: Path) -> None:
    """MemFree would give 1.8 GB on this machine."""
    assert memory_budget(machine(tmp_path), "linux") == AVAILABLE // 2


def test_a_container_of_version_2(tmp_path: Path) -> None:
    machine(tmp_path, "0::/\n", V2.format(shown="/"))
    group(tmp_path, "", 4 * GB, 3 * GB, inactive=GB)
    assert available(tmp_path) == 2 * GB


def test_version_2_without_a_limit(tmp_path: Path) -> None:
    machine(tmp_path, "0::/user.slice\n", V2.format(shown="/"))
    group(tmp_path, "user.slice", "max", 3 * GB)
    assert available(tmp_path) == AVAILABLE


def test_the_tightest_of_nested_groups(tmp_path: Path) -> None:
    machine(tmp_path, "0::/a/b/c\n", V2.format(shown="/"))
    group(tmp_path, "a", 5 * GB, 4 * GB)
    group(tmp_path, "a/b", "max", 2 * GB)
    group(tmp_path, "a/b/c", 6 * GB, 2 * GB)
    assert available(tmp_path) == GB
    group(tmp_path, "a/b", 3 * GB, 2 * GB + GB // 2)
    assert available(tmp_path) == GB // 2


def test_a_full_group_leaves_nothing(tmp_path: Path) -> None:
    machine(tmp_path, "0::/\n", V2.format(shown="/"))
    group(tmp_path, "", GB, GB + 1)
    assert available(tmp_path) == 0


def test_version_1(tmp_path: Path) -> None:
    hybrid = "5:cpu,cpuacct:/\n4:memory:/docker/x\n0::/\n"
    machine(
        tmp_path, hybrid, "40 1 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" + V1.format(shown="/")
    )
    group(tmp_path, "memory/docker/x", 4 * GB, 3 * GB, inactive=GB // 2, version=1)
    assert available(tmp_path) == GB + GB // 2
    group(tmp_path, "memory/docker/x", 2**63 - 4096, 3 * GB, version=1)  # how version 1 says "no limit"
    assert available(tmp_path) == AVAILABLE
    group(tmp_path, "memory/docker", 3 * GB, GB, version=1)
    assert available(tmp_path) == 2 * GB


def test_the_mount_of_a_container_shows_its_own_group(tmp_path: Path) -> None:
    """Without a namespace of groups, the path is the host's and the mount begins at the container's group."""
    machine(tmp_path, "4:memory:/docker/x/inner\n", V1.format(shown="/docker/x"))
    group(tmp_path, "memory", 4 * GB, GB, version=1)
    group(tmp_path, "memory/inner", 2 * GB, GB, version=1)
    assert available(tmp_path) == GB
    machine(tmp_path, "4:memory:/elsewhere\n", V1.format(shown="/docker/x"))
    assert available(tmp_path) == 3 * GB


@pytest.mark.parametrize("damage", ["", "::\n:::\n", "0::/gone\n", "4:memory\n"])
def test_odd_files_are_no_error(tmp_path: Path, damage: str) -> None:
    assert available(machine(tmp_path, damage, "what - \n" + V2.format(shown="/"))) == AVAILABLE


def test_no_proc_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(training_machine.os, "sysconf", no_such_name)
    assert memory_budget(tmp_path, "win32") == UNKNOWN // 2


def test_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               10.\nPages active:                          400.\n"
        "Pages inactive:                           20.\nPages speculative:                       3.\n"
        'Pages throttled:                           0.\nPages purgeable:                         4.\n"Pages": 9.\n'
    )
    monkeypatch.setattr(training_machine, "_vm_stat", lambda: said)
    assert available_memory(platform="darwin") == 37 * 16384
    monkeypatch.setattr(training_machine, "_vm_stat", lambda: "")
    assert available_memory(platform="darwin") == UNKNOWN
