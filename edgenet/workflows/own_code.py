"""Code of the user's own, as a part of `deploy`, `configure` and `rollback`: what is asked for, and what is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgenet.devices.app_folders import OwnCode, check_program, code_on, place_app
from edgenet.devices.app_packages import AppRequirements, app_wheels, read_requirements
from edgenet.devices.apps import CAMERA, App, Program, read_app, read_program
from edgenet.devices.device import Adb, Device
from edgenet.devices.environment import python_of
from edgenet.devices.releases import SetAside
from edgenet.devices.targets import parse_target
from edgenet.devices.unit import Service
from edgenet.devices.wheels import requirements
from edgenet.errors import EdgenetError, one_line
from edgenet.progress import Progress


@dataclass(frozen=True)
class OwnCodeTask:
    """What is asked about code of the user's own.

    Attributes:
        app: the code to bring; None to leave what is on the device.
        requirements: the packages that it needs.
        run: what the service shall start, as the user gave it; None to leave that.
        program: the user's program that `run` names; None for camera.py.
        arguments: the arguments of that program.
    """

    app: App | None = None
    requirements: AppRequirements | None = None
    run: str | None = None
    program: Program | None = None
    arguments: tuple[str, ...] = ()

    def check_target(self, on: str) -> None:
        """Refuse a target that cannot run code of the user's own.

        Raises:
            EdgenetError: it is a phone.
        """
        if (self.app or self.program) and isinstance(parse_target(on), Adb):
            raise EdgenetError(
                f"code of your own cannot run on {on}: a phone has neither a service nor a Python of its own",
                "leave out --with and --run, or take a Raspberry Pi",
            )

    def wheels(self, device: Device, progress: Progress) -> list[Path] | None:
        """Return the wheels that the code needs on a device; None to leave it the packages that it has there.

        Raises:
            EdgenetError: there are none for the device; the message says why.
        """
        if self.requirements is None:
            return None
        facts = device.facts()
        return app_wheels(self.requirements, requirements(facts, python_of(device, facts)), progress)

    def place(
        self, device: Device, wheels: Sequence[Path] | None, progress: Progress
    ) -> tuple[tuple[OwnCode, ...], list[str]]:
        """Bring the code to its place; return all code of the user's own there, and notes for the user."""
        if self.app is None:
            there = code_on(device)
            return there, stale_notes(there)
        placed, set_aside = place_app(device, self.app, wheels, progress)
        there = (placed, *(code for code in code_on(device) if code.name != placed.name))
        return there, [*_not_brought(self.app, placed), *map(_moved, set_aside), *stale_notes(there)]

    def service(self, wanted: Service, kept: Service | None) -> Service:
        """Return the settings of a service with the program that it shall start, and what else it keeps."""
        if self.run is not None:
            wanted = replace(wanted, program=self.program, arguments=self.arguments)
        elif kept is not None:
            wanted = replace(wanted, program=kept.program, arguments=kept.arguments)
        if wanted.program is None or kept is None:
            return wanted
        return replace(wanted, source=kept.source, serve=kept.serve)  # for when camera.py runs again


def plan_own_code(
    with_: str | Path | None, requirements_file: str | Path | None, run: str | None, words: Sequence[str]
) -> OwnCodeTask:
    """Read and check the code and its requirements on this machine.

    Args:
        with_: the program or folder to bring; None for none.
        requirements_file: the requirements file; None for none.
        run: the program that the service shall start; None to leave that.
        words: its arguments.

    Raises:
        EdgenetError: a file cannot be used, or a program has the wrong name; the message says why.
    """
    if requirements_file is not None and with_ is None:
        raise EdgenetError("--requirements is for the code of --with", "give both, or neither")
    given = None if with_ is None else Path(with_)
    app = None if given is None else read_app(given)
    needed = None if requirements_file is None else read_requirements(Path(requirements_file))
    program = None if run is None else read_program(run, given, app)
    return OwnCodeTask(app, needed, run, program, tuple(words) if program else ())


def require_program(device: Device, task: OwnCodeTask, program: Program | None) -> None:
    """Check that a program is on the device, unless the task brings it.

    Raises:
        EdgenetError: it is not there.
    """
    if program is not None and (task.app is None or task.app.name != program.app):
        check_program(device, program)


def refuse_mixed_options(kept: Service | None, on: str) -> None:
    """Refuse options of camera.py for a service that runs a program of the user's own, unless `--run` says which.

    Raises:
        EdgenetError: the service runs such a program.
    """
    if kept is not None and kept.program is not None:
        raise EdgenetError(
            f"options are given, and the service on {on} runs {kept.program}",
            f"add --run {kept.program}, or --run {CAMERA} to start edgenet's own program again",
        )


def stale_notes(there: Sequence[OwnCode]) -> list[str]:
    """Return a note for each code whose packages are for another Python than the device has."""
    return [
        f"the packages of {code.name} are for another Python than the device has now: give --with and --requirements "
        "again"
        for code in there
        if code.stale
    ]


def few(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of a list, and how many more there are."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*(one_line(name) for name in names[:most]), *more])


def _moved(copy: SetAside) -> str:
    files = [name.removeprefix("code/") for name in copy.files]
    return f"the copy before was changed on the device ({few(files)}) and is kept there: {copy.folder}"


def _not_brought(app: App, placed: OwnCode) -> list[str]:
    """Return notes about what was not copied, and about packages that were not installed."""
    notes = [f"not copied from {app.name}: {few(app.left_out)}"] if app.left_out else []
    if not placed.packages and "requirements.txt" in app.files:
        notes.append(f"the packages of {app.name}/requirements.txt are installed only with --requirements")
    return notes
