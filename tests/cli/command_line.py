"""The result of a run of the command, and the rules for its error messages."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(sysconfig.get_path("scripts")) / "edgenet"
"""The command as it is installed."""


@dataclass(frozen=True)
class Ran:
    """The result of one run of the command: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """The JSON that it printed, after checking that all went well and that it is strict."""
        assert self.status == 0, self.err

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        return json.loads(self.out, parse_constant=refuse)

    def refusal(self, *parts: str, remedy: bool = True) -> str:
        """The one line on standard error, after checking that it is an error for users and holds `parts`.

        Args:
            remedy: whether it must say what to do.
        """
        assert self.status == 1, f"status {self.status}: {self.err or self.out}"
        assert self.out == ""
        line = self.err.removesuffix("\n")
        assert "\n" not in line, line
        assert "Traceback" not in line
        assert "fault of edgenet" not in line
        found, separator, to_do = line.removeprefix("edgenet: ").partition("; ")
        assert found != line.partition("; ")[0], line
        assert found
        assert not remedy or (separator and to_do), f"no remedy in: {line}"
        for part in parts:
            assert part in line, line
        return line


Edgenet = Callable[..., Ran]
