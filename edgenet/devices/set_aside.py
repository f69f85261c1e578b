r"""What edgenet must never delete on a device: folders in which somebody changed or added files.

A folder that edgenet brought to a device lists its files in SHA256SUMS. The shell functions here find what is no longer
as it was brought, and move such a folder out of the way for good:

    HOME/set-aside/NAME-N/    it is never removed
"""

from __future__ import annotations

from dataclasses import dataclass

from edgenet.devices.device import ProgramResult

SUMS = "SHA256SUMS"
# Prints the files of a folder that edgenet did not write, or that are no longer as it wrote them. Names that are
# listed twice or more are edgenet's own. Whatever cannot be checked, because SHA256SUMS is lost, counts as changed.
CHANGES = r"""
changes() (
    cd "$1" 2>/dev/null || exit 0
    written=$(sed 's/^[0-9a-f]*  //' SHA256SUMS 2>/dev/null)
    {
        find . ! -type d ! -name '*.pyc' | sed 's|^\./||'
        for twice in 1 2; do printf '%s\n' SHA256SUMS environment previous verified "$written"; done
    } | sort | uniq -u
    LC_ALL=C sha256sum -c SHA256SUMS 2>/dev/null | sed -n 's/: FAILED$//p' |
        while read -r name; do [ ! -e "$name" ] || printf '%s\n' "$name"; done
)
"""
"""Shell function `changes FOLDER`: prints the files that somebody changed or added."""
SET_ASIDE = r"""
set_aside() {
    number=1
    while [ -e "$2/set-aside/$4-$number" ]; do number=$((number + 1)); done
    mkdir -p "$2/set-aside" && mv "$1" "$2/set-aside/$4-$number" || return
    printf '%s\n' "$2/set-aside/$4-$number" && printf '%s\n' "$3" | sed 's/^/ /'
}
"""
"""Shell function `set_aside FOLDER HOME CHANGES NAME`: prints the new path and then, indented, what was changed."""


@dataclass(frozen=True)
class SetAside:
    """A folder with somebody's own files, which was moved out of the way.

    Attributes:
        folder: where it is now, on the device.
        files: the files that were changed or added, by their path in the folder.
    """

    folder: str
    files: tuple[str, ...]


def folders_set_aside(done: ProgramResult) -> tuple[SetAside, ...]:
    """Return what a script that calls `set_aside` has moved, from its output."""
    found: list[SetAside] = []
    for line in done.out.decode(errors="replace").splitlines():
        if line.startswith(" ") and found:
            found[-1] = SetAside(found[-1].folder, (*found[-1].files, line[1:]))
        else:
            found.append(SetAside(line, ()))
    return tuple(found)
