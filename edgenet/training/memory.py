"""How much memory a training may fill with decoded photos.

It is half of what this process can still get: the least of what the machine has left (Linux: MemAvailable) and of what
each control group above the process has left, because a container is stopped when its group is full, however much
memory the machine has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from edgenet_device.foreign_text import is_number

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
