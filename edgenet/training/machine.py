"""The machine that a training runs on: the device that computes, chosen by its name, and the memory that may be filled.

The device is a CUDA GPU, the GPU of an Apple computer (MPS), or the CPU.

Decoded photos may fill half of the memory that this process can still get: the least of what the machine has left
(Linux: MemAvailable) and of what each control group above the process has left, because a container is stopped when its
group is full, however much memory the machine has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from edgenet_device.foreign_text import is_number

from edgenet.errors import EdgenetError
from edgenet.training.recipe import Precision, check_device_name


def local_device(name: str, environment: Mapping[str, str] = os.environ) -> torch.device:
    """Return the device of this process.

    Args:
        name: "auto" (a CUDA GPU if there is one, else MPS if there is one, else the CPU), "cpu", "mps", "cuda" or
            "cuda:N". "auto" and "cuda" give each process on this machine a CUDA GPU of its own.
        environment: the environment variables that `torchrun` sets.

    Raises:
        EdgenetError: the name is not one of these, or this machine has no such device.
    """
    check_device_name(name)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if gpus else "mps" if mps else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        index = int(environment.get("LOCAL_RANK", "0")) if device.index is None else device.index
        if index >= gpus:
            raise _no_such_gpu(name, index, gpus, mps)
        return torch.device("cuda", index)
    if device.type == "mps":
        _check_mps(mps, gpus, environment)
    return device


def _no_such_gpu(name: str, index: int, gpus: int, mps: bool) -> EdgenetError:
    if gpus and name == "cuda":
        return EdgenetError(
            f"process {index + 1} on this machine needs a CUDA GPU of its own, but there {_are(gpus, mps)}",
            f"start torchrun with --nproc-per-node {gpus}, or give --device cpu",
        )
    built = "" if torch.backends.cuda.is_built() else f" (torch {torch.__version__} is built without CUDA)"
    return EdgenetError(
        f"there is no device {name} on this machine{built}; there {_are(gpus, mps)}",
        "give one of these with --device, or leave it out",
    )


def _check_mps(mps: bool, gpus: int, environment: Mapping[str, str]) -> None:
    if not mps:
        raise EdgenetError(
            f"there is no device mps on this machine; there {_are(gpus, mps)}",
            "give one of these with --device, or leave it out",
        )
    if int(environment.get("WORLD_SIZE", "1")) > 1:
        raise EdgenetError(
            "several processes cannot share the device mps, because torch cannot sum gradients there",
            "start one process without torchrun, or give --device cpu",
        )


def _are(gpus: int, mps: bool) -> str:
    """Return the devices of this machine after a verb, such as "are cuda:0 (NVIDIA H200) and cpu"."""
    found = [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(gpus)]
    *others, last = [*found, *(["mps"] if mps else []), "cpu"]
    return f"are {', '.join(others)} and {last}" if others else f"is only {last}"


def bfloat16_on(device: torch.device, precision: Precision) -> bool:
    """Return whether to compute in bfloat16.

    "auto" means bfloat16 only on CUDA GPUs that support it: most CPUs emulate it, many times slower, and MPS gains
    nothing from it.

    Raises:
        EdgenetError: bfloat16 was asked for, and torch has no mixed precision for this kind of device.
    """
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    if precision == "bfloat16" and not torch.amp.is_autocast_available(device.type):
        raise EdgenetError(f"torch has no bfloat16 training on {device}", "give --precision float32")
    return precision == "bfloat16"


def runs_ahead(device: torch.device) -> bool:
    """Return whether the device computes while Python already prepares the next steps.

    Reading a result then makes Python wait for the device, and photos can be copied there from pinned memory meanwhile.
    """
    return device.type == "cuda"


def free_unused_memory(device: torch.device) -> None:
    """Give memory that torch keeps for later, but does not use, back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


UNKNOWN = 2 << 30
"""The bytes assumed to be available where the system does not say."""
_NO_LIMIT = 1 << 60
"""Groups of version 1 state a limit near 2**63 when there is none; no machine has this much memory."""


def memory_budget(root: Path = Path("/"), platform: str = sys.platform) -> int:
    """Return half of the memory that is available to this process, in bytes.

    Args:
        root: the folder under which `proc` and `sys` are found.
        platform: the operating system, as `sys.platform` names it.
    """
    return available_memory(root, platform) // 2


def available_memory(root: Path = Path("/"), platform: str = sys.platform) -> int:
    """Return the memory that is available to this process, in bytes; UNKNOWN where the system does not say.

    On Linux it is MemAvailable, which counts the file cache that the kernel can drop, or what the control groups leave
    if that is less. (`SC_AVPHYS_PAGES` is MemFree: after some hours of use nearly all memory is file cache, and it
    would say 3 GB of 24.) On macOS it is the free, inactive, speculative and purgeable pages that `vm_stat` counts.
    """
    if platform == "darwin":
        return _vm_stat_bytes(_vm_stat())
    known = [_mem_available(root), *_group_leftovers(root)]
    return min((value for value in known if value is not None), default=_free_pages())


def _mem_available(root: Path) -> int | None:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) << 10 if found else None


def _free_pages() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # AttributeError: Windows
        return UNKNOWN


def _group_leftovers(root: Path) -> list[int]:
    """Return the bytes left in each control group that limits this process.

    A group's memory includes the file cache of its processes. The inactive part is dropped when memory runs short, so
    it counts as left.
    """
    leftovers = []
    for version, place, top in _groups(root):
        limit_name, usage_name = _FILES[version]
        # A group's own limit can be `max` while one above it has a number: the least on the way up counts.
        for folder in (place, *place.parents):
            limit, used = _number(folder / limit_name), _number(folder / usage_name)
            if limit is not None and used is not None and limit < _NO_LIMIT:
                leftovers.append(max(limit - used + _inactive_file(folder, version), 0))
            if folder == top:
                break
    return leftovers


_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    2: ("memory.max", "memory.current"),
}


def _groups(root: Path) -> list[tuple[int, Path, Path]]:
    """Return (version, the process's folder, the topmost folder) of each hierarchy of groups that can limit memory."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        version = 2 if number == "0" and not controllers else 1
        if version == 1 and "memory" not in controllers.split(","):
            continue
        mounted = _mount(root, version)
        if mounted is not None:
            top, shown = mounted
            found.append((version, _below(top, shown, path), top))
    return found


def _mount(root: Path, version: int) -> tuple[Path, str] | None:
    """Return where a hierarchy of groups is mounted, and which of its groups that folder shows."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        # proc(5): ID, parent, device, root, mount point, options, optional fields, "-", type, source, options
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), [*after.split(), "", "", ""][:3]
        right = kind == "cgroup2" if version == 2 else kind == "cgroup" and "memory" in options.split(",")
        if right and len(fields) >= 5:
            return root / fields[4].lstrip("/"), fields[3]
    return None


def _below(top: Path, shown: str, path: str) -> Path:
    """Return the folder of the group `path`; inside a container only the groups from `shown` on are visible."""
    relative = os.path.relpath(path or "/", shown or "/")
    folder = top if relative.startswith("..") or relative == "." else top / relative
    return folder if folder.is_dir() else top


def _inactive_file(folder: Path, version: int) -> int:
    name = "inactive_file" if version == 2 else "total_inactive_file"
    found = re.search(rf"^{name} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
    return int(found[1]) if found else 0


def _number(path: Path) -> int | None:
    """Return the number in a file; None if there is no such file or it says `max`."""
    text = _text(path).strip()
    return int(text) if is_number(text) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _vm_stat() -> str:
    try:
        return subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _vm_stat_bytes(said: str) -> int:
    """Return the bytes of the pages that macOS can hand out, from the text that `vm_stat` prints."""
    page = re.search(r"page size of (\d+) bytes", said)
    counts = re.findall(r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)", said, re.MULTILINE)
    return int(page[1]) * sum(map(int, counts)) if page and counts else UNKNOWN
